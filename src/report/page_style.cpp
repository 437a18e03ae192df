#include "report/page_style.hpp"

namespace llmq {

// q0 .. q9: steps of heat maps, from what is near the background to what stands out of it, in light and dark.
// s, f and b: lines, areas and their keys. k: words on a step's colour, i: their ink where a scheme's steps
// turn. t, e, m: text in drawings, its end or middle at the place given. g: grid. z: zero.
const std::string_view kPageStyle = R"css(
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--soft:#5b6470;--line:#dde1e6;--zero:#e9ecef;--hit:#c92a2a;
--q0:#e8f1fa;--q1:#d3e4f3;--q2:#b9d5ea;--q3:#95c0de;--q4:#6ba7d1;--q5:#488dc1;--q6:#2d72ae;--q7:#1b5893;--q8:#113f72;--q9:#0a274d;--i4:var(--ink);--i5:var(--ink);
--s0:#1f77b4;--s1:#d9480f;--s2:#2b8a3e;--s3:#9c36b5;--s4:#a61e4d;--s5:#0b7285;--s6:#8f6a00;--s7:#495057}
@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1d2127;--ink:#e6e9ed;--soft:#9aa4b0;--line:#363d46;--zero:#2a3038;--hit:#ff6b6b;
--q0:#1d3147;--q1:#1f4263;--q2:#235581;--q3:#2b6a9e;--q4:#3a81b8;--q5:#559acb;--q6:#7ab3da;--q7:#a0cbe7;--q8:#c5e0f1;--q9:#eaf5fc;--i4:#000;--i5:var(--card);
--s0:#5cb3f0;--s1:#ff922b;--s2:#69db7c;--s3:#da77f2;--s4:#f783ac;--s5:#3bc9db;--s6:#ffd43b;--s7:#ced4da}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
header,main,footer{max-width:1200px;margin:0 auto;padding:12px 16px}
main{columns:420px;column-gap:16px}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 16px;margin:0 0 16px;break-inside:avoid}
.wide{column-span:all;margin-top:16px}
h1{font-size:22px;line-height:1.25;margin:8px 0 12px;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 8px}
h3{font-size:14px;margin:16px 0 4px}
p{margin:0 0 10px}
p,footer,summary{color:var(--soft)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(170px,1fr));gap:8px 16px;margin:0}
dt{color:var(--soft);font-size:13px}
dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:3px 6px;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right}
svg{display:block;width:100%;max-width:540px;height:auto}
.t{font-size:11px;fill:var(--soft)}.e{text-anchor:end}.m{text-anchor:middle}
.g{stroke:var(--line);fill:none}.z{fill:var(--zero)}.hit{fill:var(--hit)}
.l{fill:none;stroke-width:2}.bars{stroke:var(--s0)}.unused{stroke:var(--hit)}
.dot{fill:var(--card);stroke-width:2}.band{fill-opacity:.14;stroke:none}.name{font-size:11px;fill:var(--ink)}
.f0{fill:var(--s0)}.f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(--s4)}.f5{fill:var(--s5)}.f6{fill:var(--s6)}.f7{fill:var(--s7)}
.says{margin:10px 0 2px;font-size:15px;line-height:1.75;color:var(--ink);overflow-wrap:anywhere;white-space:break-spaces}
.says s{text-decoration:none;color:var(--soft)}
.says b{font-weight:inherit;border-radius:3px;padding:1px 0}
.note{font-size:13px;margin:0 0 14px}
.k0{background:var(--q0)}.k1{background:var(--q1)}.k2{background:var(--q2)}.k3{background:var(--q3)}.k4{background:var(--q4);color:var(--i4)}
.k5{background:var(--q5);color:var(--i5)}.k6{background:var(--q6);color:var(--card)}.k7{background:var(--q7);color:var(--card)}.k8{background:var(--q8);color:var(--card)}.k9{background:var(--q9);color:var(--card)}
.wrap td{white-space:normal}
.wrap td:first-child{min-width:90px}.wrap td:nth-child(2){min-width:125px}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(320px,100%),1fr));gap:0 16px}
.held td:first-child,.held th:first-child{position:sticky;left:0;background:var(--card);padding-right:10px}
.held td:first-child{white-space:normal;overflow-wrap:anywhere;min-width:150px}
.lead{stroke:var(--soft);stroke-width:.7;fill:none}
.cols{columns:150px}.cols li{break-inside:avoid;overflow-wrap:anywhere}
.key{list-style:none;margin:4px 0 12px;padding:0;font-size:13px}
.key i{display:inline-block;width:12px;height:12px;border-radius:2px;margin-right:6px;vertical-align:-1px}
.q0{fill:var(--q0)}.q1{fill:var(--q1)}.q2{fill:var(--q2)}.q3{fill:var(--q3)}.q4{fill:var(--q4)}
.q5{fill:var(--q5)}.q6{fill:var(--q6)}.q7{fill:var(--q7)}.q8{fill:var(--q8)}.q9{fill:var(--q9)}
.s0{stroke:var(--s0)}.s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}
.s4{stroke:var(--s4)}.s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}
.b0{background:var(--s0)}.b1{background:var(--s1)}.b2{background:var(--s2)}.b3{background:var(--s3)}
.b4{background:var(--s4)}.b5{background:var(--s5)}.b6{background:var(--s6)}.b7{background:var(--s7)}
@media(max-width:480px){.wrap td:nth-child(2){min-width:85px}header,main,footer{padding:8px}section{padding:10px}}
)css";

}  // namespace llmq
