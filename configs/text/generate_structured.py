#!/usr/bin/env python3
"""Prints the structured part of calibration.txt: tables, arithmetic, logs, records. Deterministic."""

state = 20260101


def draw(limit):
    """Next number below limit from a small linear congruential generator."""
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % limit


towns = ["Lisbon", "Graz", "Oulu", "Bergen", "Leeds", "Turin", "Gdansk", "Porto", "Malmo", "Bilbao"]
goods = ["copper wire", "rye flour", "sea salt", "window glass", "wool yarn", "paper", "olive oil", "roof tiles"]
levels = ["INFO", "INFO", "INFO", "WARN", "DEBUG", "ERROR"]
events = ["cache refreshed", "connection reset by peer", "request served", "retry scheduled", "disk usage high",
          "user signed in", "queue drained", "checksum mismatch, block refetched"]

print("\n| town | goods | tonnes | price per tonne | value |\n|---|---|---:|---:|---:|")
for _ in range(110):
    tonnes, price = 1 + draw(90), 20 + draw(700)
    print(f"| {towns[draw(10)]} | {goods[draw(8)]} | {tonnes} | {price} | {tonnes * price} |")
print("\nWorked sums")
for _ in range(270):
    a, b = 12 + draw(988), 3 + draw(97)
    print([f"{a} + {b} = {a + b}", f"{a} - {b} = {a - b}", f"{a} x {b} = {a * b}",
           f"{a} divided by {b} is {a // b} remainder {a % b}"][draw(4)])
print("\nService log")
clock = 0
for _ in range(170):
    clock += 1 + draw(900)
    print(f"2025-{1 + draw(12):02d}-{1 + draw(28):02d}T{clock // 3600 % 24:02d}:{clock // 60 % 60:02d}:{clock % 60:02d}Z "
          f"{levels[draw(6)]} worker-{draw(16)} {events[draw(8)]} in {draw(2000)} ms")
print("\nid,town,celsius,fahrenheit,wind_kmh")
for number in range(150):
    celsius = draw(55) - 15
    print(f"{number},{towns[draw(10)]},{celsius},{celsius * 9 / 5 + 32:.1f},{draw(80)}")
print()
for number in range(95):
    print(f'{{"id": {number}, "name": "{goods[draw(8)]}", "stock": {draw(500)}, "tags": ["{towns[draw(10)].lower()}", '
          f'"q{1 + draw(4)}"], "active": {["true", "false"][draw(2)]}}}')
