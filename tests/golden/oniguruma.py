"""Makes oniguruma.json: what Hugging Face's tokenizers (0.23, whose regular expressions are Oniguruma's) find in texts.

python oniguruma.py > oniguruma.json

Each row is a pattern and, for each of TEXTS that is named by its place, the pieces that Split makes of it: "=" in front
of a match, "-" in front of what lies between. The patterns under "written" are chosen, those under "random" are drawn
with a fixed seed; a pattern that Oniguruma refuses is left out.
"""
import json, random
from tokenizers import Regex, pre_tokenizers

TEXTS = [
    "two  words,\r\nand it's 42 “Ärger”\t\u0301x éa 👩\u200d👧! _a_ naïve—co-op.\n",
    "a\n\nb\r\nc \n d\u2028e\u0085f\u000bg\n",
    "Straße STRASSE strasse ſs ﬁ fi ŉ ʼn ΣΑΣ σας Kelvin \u212a",
    "²³¹½¼¾Ⅷ٣९ 1a2 \u200c\u200d می\u200cروم x\u0301\u0308y",
    "🇩🇪🇫🇷🇩 👩\u200d👩\u200d👧👍🏽 각 \u1100\u1161\u11a8 \u0915\u094d\u0937 e\u0301\r\n",
    "aaabbbabab abcabc aabb ab1ab",
    "don't I'LL we'Ve 'S 'ſ it'd x'm",
    "東京タワー한국어 Привет ελληνικά עברית 12,345.67 $€ #tag @me",
    " \t \u00a0\u3000 x  ",
    "\n",
    "xİy i\u0307 I\u0307 ı xi\u0307y Ǻ ĳ",
]

WRITTEN = r"""
\b.+?\b|.
\B.
\b\w+\b
\w+|\W+
[\w]+|[\W]+
[^\w]+
\p{Word}+|[\p{Word}]+
\d+|\D
\h+|\H
\s+|\S+
[[:alpha:]]+
[[:^alpha:]]+
[[:alnum:]]+|[[:punct:]]
[[:space:][:punct:]]+
[[:upper:]][[:lower:]]*
[[:word:]]+
[[:cntrl:]]|[[:blank:]]
[[:graph:]]+
[^[:print:]]
[[:xdigit:]]{2}
[[:ascii:]]+
[[:alpha]]+
[:alpha:]+
^
$
^.
.$
^.*$
[ \t]+$|\S+|\s
^\s*$
\A.
.\z
.\Z
\n\Z
\Z
\A
\z
\G.
\G\w
(?:\G\w|\s)+
\R|[^\r\n]+
\R
\R+
\r\R|\R
\X
.\X
\y
\Y
\X{2}
\N+
\O
\O{3}
.+
(?m).+
(?m:.)+
(?-m:.)+
(?m)a.b|(?-m).
a(?m).b|c
(?i)strasse
(?i)straße
(?i:ss)
(?i)[ß]
(?i)[^ß]
(?i)fi
(?i)ﬁ
(?i)σ+
(?i)k
(?i)\u212a
(?i)[a-z]+
(?i)[^a-z]+
(?i)[[:upper:]]+
(?i)\p{Lu}+
(?i)[\p{Lu}]+
(?i)a(?-i)b
(?i:a)b
ab(?i)c|abc|B
(?i)(?<=s)t
(?i)(?<=ß).
(?i)(?!ss)s
(?i:'s|'t|'re|'ve|'m|'ll|'d)
(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
\p{L}+|\p{N}+|\s+|[^\s\p{L}\p{N}]+
[一-龥぀-ゟ゠-ヿ]+
\p{Han}+|\p{Katakana}+|\p{Hangul}+
\p{Cyrillic}+|\p{Greek}+|\p{Hebrew}+
\p{In_Cyrillic}+|\p{InHebrew}+
\p{^L}+
\P{L}+
\P{^L}+
\p{Letter}+
\p{Uppercase_Letter}
\p{Alnum}+
\p{Punct}|\p{PosixPunct}
\pL+
\PL
\p{Any}
\p{Assigned}
\p{Emoji}
\p{White_Space}+
\p{Line_Separator}
[a-c&&b-z]+
[\w&&[^a]]+
[a-z&&[^aeiou]&&[^b]]+
[^a-z&&b]
[a[b[c]]]+
[a-c[^a-z]]+
[&&a]
[a&&]
[]a]+
[^]a]+
[-a]+
[a-]+
[a\-b]+
[a-c-e]+
[\]\[]
[\x61-\x63]+
[\x{61 62}1]+
\x61\x{62}
\x{61 62}
\141\142
\u0061
\o{141}
\xe6\x9d\xb1
[\xe6\x9d\xb1]
\t|\n|\x0b
\v
[\b]
\e|\a|\f
\cM|\C-J
\Q
\#\@\$
\-\.
(?#comment)a(?#b)+
(?x) a b # c
(?x:a\ )b
(?x) [ ]
a{2}
a{2,}
a{,2}
a{1,2}
a{2,1}b
a{2}+
a{2}?b
a{1,2}?
a{,}
a{
a{x}
a{1
{a
x{}
a++b
a*+a
a?+a
(?>a+)b
(?>a|ab)c
a+?
a*?b
(?:a??)*
(?:a+?)?b
(?:a*)+
(?:a+)*b
(?:a?)+?b
a**
a+?+
(?:a{2}){2}
(?:ab)+
(?:a|ab)(?:c|bcd)?
(?:a|)+b
(?:|a)+b
(?:a*b*)*
(?:a?b?){2}
a|
|a
(?:)
()
(a)(b)?
(a+)b\1
(.)\1
(?<n>.)\k<n>
(?<n>a)(?<m>b)\k<m>
(?<n>a)|(?<n>b)\k<n>
(?'n'a)\k'n'
(.)(.)\k<-1>
(a)|b\1
(?<w>\w)\g<w>
(?<w>a|b){0}\g<w>\g<w>
\g<1>(b)
(?<=a)b
(?<!a)b
(?<=a|bc).
(?<=^|\s)\S
(?<=ab*)c
(?<=\b)\w
(?<!\w)\w
(?<=(?:a|bb))b
(?<=\n)^
(?=a)\w
(?!a)\w
(?=(a+))a*b\1
(?=a|ab)ab
a(?=b(?!a))
(a)?(?(1)b|c)
(?<n>a)?(?(<n>)b|c)
(?(a)b|c)
(?(a|b)\w|.)
(a)?b(?(1))
a\Kb
\w\K\w
a\K
(?:a\Kb|b)
(?W)\w+
(?W:\b)\w
(?D)\d+
(?S)\s+
(?P)[[:alpha:]]+
(?P)\p{Alpha}+
(?y{g})\X
(?i)(?x) A b
((a)|b)+
(a|b)*?b
[\p{L}&&\p{Lu}]+
[^\p{L}\p{N}\s]+
\s+$
(?<!\d)\d{1,3}(?=(?:\d{3})*\b)
\d{1,3}(?=(?:\d{3})+$)
[\r\n]+|[^\r\n]+
(?:\r?\n)+
[^\S\n]+
(?:(?<= )|^)\w
 ?\S+
.*?
a*
\w*
(?=\w)
\b|\B
(?i)İ
(?i)[İ]+
(?i)i\x{307}
(?i)[^İ]
(?i)x[İa]y
(?i)[i]\x{307}
(?i)(?<=İ)y
(?i)ǻ|Ĳ
""".strip("\n").split("\n")


def drawn(seed, many):
    """Random patterns."""
    r = random.Random(seed)
    pick = r.choice

    def bracket(depth):
        parts = ["a", "b", "s", "S", "ß", "é", "1", "_", " ", "a-c", "A-Z", "0-9", r"\x{41}-\x{5A}", "é-ü", r"\w", r"\W", r"\s", r"\d", r"\D", r"\h", r"\p{L}", r"\p{Lu}", r"\p{^Ll}", r"\P{N}", r"\r\n", r"\-", r"\]", "[:alpha:]", "[:^alnum:]", "[:punct:]", "[:word:]"]
        text = pick(["", "", "^"]) + "".join(pick(parts) for _ in range(r.randint(1, 3)))
        if depth < 2 and r.random() < 0.2:
            text += bracket(depth + 1)
        if r.random() < 0.15:
            text += "&&" + pick(["[^a]", r"\w", "a-z", "b"])
        return f"[{text}]"

    def atom(depth):
        kind = r.random()
        if kind < 0.3:
            return pick([*"abcsSßé1 ", r"\n", "ss", "fi", r"\.", r"\$"])
        if kind < 0.42:
            return pick([r"\w", r"\W", r"\s", r"\S", r"\d", r"\h", r"\R", r"\X", r"\N", r"\O", "."])
        if kind < 0.52:
            return pick([r"\p{L}", r"\p{N}", r"\p{Lu}", r"\P{L}", r"\p{Alnum}", r"\p{^Word}", r"\p{Han}", r"\p{Word}", r"\p{Punct}", r"\p{M}"])
        if kind < 0.66:
            return bracket(0)
        if kind < 0.76 or depth > 2:
            return pick(["^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z", r"\G", r"\y", r"\Y"])
        open = pick(["(?:", "(?:", "(", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?i:", "(?m:", "(?W:", "(?i)(?:"])
        return open + choice(depth + 1) + ")"

    def sequence(depth):
        text = ""
        for _ in range(pick([1, 1, 2, 2, 3])):
            one = atom(depth)
            text += one
            if one[-1] not in "^$" and one not in (r"\b", r"\B", r"\A", r"\z", r"\Z", r"\G", r"\y", r"\Y") and not one.startswith(("(?=", "(?!", "(?<")) and r.random() < 0.4:
                text += pick(["?", "*", "+", "??", "*?", "+?", "?+", "*+", "++", "{2}", "{1,2}", "{,2}", "{1,}", "{2}?", "{1,2}?", "{2}+", "{2,1}", "+*", "*?+"])
        return text

    def choice(depth):
        return "|".join(sequence(depth) for _ in range(pick([1, 1, 1, 2, 2])))

    return [choice(0) for _ in range(many)]


def pieces(pattern, text):
    cut = lambda behavior, invert: pre_tokenizers.Split(Regex(pattern), behavior, invert=invert).pre_tokenize_str(text)
    matched = {place for _, place in cut("removed", True)}
    return ["-="[place in matched] + piece for piece, place in cut("isolated", False)]


def rows(patterns, texts):
    made = []
    for pattern in dict.fromkeys(patterns):
        try:
            Regex(pattern)
        except BaseException:
            continue
        made.append([pattern, {n: pieces(pattern, TEXTS[n]) for n in texts(pattern)}])
    return made


chosen = random.Random(5)
table = {"texts": TEXTS, "written": rows(WRITTEN, lambda _: range(len(TEXTS))), "random": rows(drawn(11, 420), lambda _: sorted(chosen.sample(range(9), 3)))}
out = ["{", f'"texts": {json.dumps(TEXTS)},']
for name in ("written", "random"):
    lines = [json.dumps(row, ensure_ascii=False) for row in table[name]]
    out.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]" + ("," if name == "written" else ""))
out.append("}")
print("\n".join(out))
