#!/usr/bin/env bash
# `analyze --report`: the same bytes on any number of ranks, the page's figures are those of the JSON, and a browser
# shows it without a complaint, in light and dark, as wide as a desktop and as a phone.
. "$(dirname "$0")/lib.sh"

for ranks in 1 2; do
  for form in html json; do
    on $ranks --format json analyze "$model" "${few[@]}" --identify-super-weights -o np$ranks.imatrix \
      --report r$ranks.$form > result.json
    grep -q "\"report_path\": \"r$ranks.$form\"" result.json || { cat result.json; fail "no report_path"; }
  done
done
same r1.html r2.html
same r1.json r2.json
same np1.imatrix np2.imatrix
! grep -q -e "$work" -e "$(hostname)" -e http r1.html r1.json || fail "a path, a host or an address is in the report"

# What the browser made of the page.
browser --dump-dom "file://$work/r1.html" > dom.html
for id in importance-map outlier-map covered-map convergence-chart error-map; do
  grep -q "<svg id=\"$id\"" dom.html || fail "no drawing $id"
done
between() { sed -n "/id=\"$1\"/,/<\/$2>/p" dom.html; }
rows() { between "$1" table | grep -c '<td>'; }
[ "$(between importance-map svg | grep -c '<title>blk\.')" = 28 ] || fail "not 28 cells"
[ "$(rows all-tensors)" = 28 ] && [ "$(rows top-tensors)" = 20 ] || fail "rows of the tables"
grep -q 'No super weights' dom.html || fail "nothing said about super weights"
! grep -q 'id="experts"' dom.html || fail "experts of a model without any"

# Every tensor's figures, as the JSON has them.
sed -n 's/^      "name": "\(.*\)",/name \1/p; s/^        "\(m[a-z]*\)": \([^,]*\),*/\1 \2/p' r1.json |
  awk '{ v[$1] = $2 } $1 == "max" { printf "%s %.4g %.4g %.4g %.4g\n", v["name"], v["mean"], v["median"], v["min"], v["max"] }' > figures.txt
[ "$(wc -l < figures.txt)" = 28 ] || { cat figures.txt; fail "not 28 tensors in the JSON"; }
between all-tensors table > all.txt
between importance-map svg > cells.txt
while read -r name mean median min max; do
  grep -qF "<td>$name</td><td class=\"n\">–</td><td class=\"n\">$mean</td><td class=\"n\">$median</td><td class=\"n\">$min</td><td class=\"n\">$max</td>" all.txt ||
    { grep -F "$name" all.txt; fail "$name: the table differs from the JSON ($mean $median $min $max)"; }
  grep -qF "<title>$name: $mean mean a^2</title>" cells.txt || fail "$name: the cell differs from the JSON"
done < figures.txt

check_looks r1.html

# By sensitivities: scores in their column; nobody looked for super weights.
on 2 analyze "$model" "${few[@]}" --method fisher --report fisher.html > human.txt
grep -q '^  report  *fisher.html$' human.txt || { cat human.txt; fail "no row for the report"; }
grep -q 'Ordered by score' fisher.html && grep -q 'not searched' fisher.html && grep -q 'mean g^2' fisher.html ||
  fail "the report of method fisher"

# From files alone, without a pass.
on 1 analyze "$model" --calibration-samples 0 --merge np1.imatrix -o merged.imatrix --report merged.json > human.txt
grep -q '^  report  *merged.json$' human.txt || { cat human.txt; fail "no row for the report of a merge"; }
[ "$(sed -n '/"tensors"/,$p' merged.json | sed 's/"covered_weights": .*//')" = "$(sed -n '/"tensors"/,$p' r1.json | sed 's/"covered_weights": .*//')" ] ||
  fail "merging one file changed a figure"

# Places it must not go, said before work starts. A report that is there is replaced, as the matrix is.
copy_model mine
mv pebble.imatrix kept.imatrix
cp "$text" story.json
expect 2 analyze "$model" --report r.txt
"$LLMQ_BIN" analyze "$model" --report r.txt 2> err.txt || true
grep -q '\.html.*\.json' err.txt || { cat err.txt; fail "the forms are not named"; }
expect 2 analyze "$model" --report /proc/nowhere/r.html
expect 2 analyze mine --report mine/config.json
expect 2 analyze "$model" -o same.json --report ./same.json
expect 2 analyze "$model" --calibration-data story.json --report story.json
cmp -s story.json "$text" || fail "the text was touched"
echo "reports hold; $conditions conditions have their code"
