"""Prints simple stories, always the same: text as the stories models were trained on, as much as a test asks for.
simple_stories.py COUNT"""
import random
import sys

NAMES = ["Lily", "Tom", "Sara", "Ben", "Mia", "Max", "Anna", "Tim", "Lucy", "Sam"]
ANIMALS = ["dog", "cat", "bird", "frog", "rabbit", "bear", "duck", "mouse"]
THINGS = ["ball", "kite", "box", "hat", "boat", "cake", "car", "doll", "book", "flower"]
LOOKS = ["big", "small", "red", "blue", "shiny", "old", "pretty", "soft", "funny", "round"]
PLACES = ["park", "garden", "forest", "house", "beach", "farm", "river", "store"]
OPENINGS = [
    "Once upon a time, there was a little girl named {name}. She had a {look} {thing} that she loved very much.",
    "One day, a {look} {animal} named {name} went to the {place}. It was a sunny day.",
    "{name} liked to play in the {place} with a {look} {thing}. Every day was fun.",
    "There was a {animal} who lived near the {place}. His name was {name} and he was very {look}.",
]
EVENTS = [
    "Suddenly, {name} saw a {look2} {animal2} behind a tree. \"Hello!\" said the {animal2}. \"Do you want to play with me?\"",
    "But then the {thing} fell into the water. {name} was sad and started to cry.",
    "{name}'s mom said, \"Be careful with the {thing}!\" But {name} did not listen.",
    "They ran and jumped and laughed. Then it started to rain, and they had to go inside.",
    "{name} wanted to find the {look2} {thing2}. They looked under the bed and in the big box, but it was not there.",
    "A {look2} {animal2} came and took the {thing}. \"That is mine!\" said {name}. \"Please give it back.\"",
]
ENDINGS = [
    "In the end, {name} and the {animal2} became good friends. They played together every day.",
    "{name} said sorry and gave the {animal2} a big hug. They were happy again.",
    "Mom was very proud of {name}. They went home and ate a yummy {thing2}.",
    "{name} learned that it is good to share. The end.",
]


def story(choose: random.Random) -> str:
    words = {"name": NAMES, "animal": ANIMALS, "animal2": ANIMALS, "thing": THINGS, "thing2": THINGS, "look": LOOKS,
             "look2": LOOKS, "place": PLACES}
    chosen = {key: values[choose.randrange(len(values))] for key, values in words.items()}
    events = [EVENTS[i] for i in sorted({choose.randrange(len(EVENTS)) for _ in range(3)})]
    parts = [OPENINGS[choose.randrange(len(OPENINGS))], *events, ENDINGS[choose.randrange(len(ENDINGS))]]
    return " ".join(part.format(**chosen) for part in parts)


if __name__ == "__main__":
    random_words = random.Random(1)
    print("\n\n".join(story(random_words) for _ in range(int(sys.argv[1]))))
