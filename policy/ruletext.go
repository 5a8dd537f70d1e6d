package policy

import (
	"fmt"
	"strings"
)

// maxRuleLine is how long a rule is that stands in one line of a file.
const maxRuleLine = 100

// ruleText returns the rule as a file has it.
func (w Words) ruleText() string { return objectText(w, "dst") }

// testText returns the test that what the rule allows is accepted.
func (w Words) testText() string { return objectText(w, "accept") }

func objectText(w Words, dst string) string {
	whole := fmt.Sprintf(`{"proto": %s, "src": %s, %q: %s}`, listText(w.Protos, false), listText(w.Srcs, false), dst, listText(w.Dsts, false))
	if len(whole) <= maxRuleLine {
		return whole
	}
	return fmt.Sprintf("{\"proto\": %s, \"src\": %s,\n\t%q: %s}", listText(w.Protos, false), listText(w.Srcs, true), dst, listText(w.Dsts, true))
}

// listText returns one string, or a list of several, in lines that are not too long
// if it is long.
func listText(words []string, long bool) string {
	if len(words) == 1 {
		return fmt.Sprintf("%q", words[0])
	}
	var b strings.Builder
	b.WriteByte('[')
	width := 0
	for i, w := range words {
		if i > 0 {
			b.WriteString(",")
		}
		text := fmt.Sprintf("%q", w)
		if width += len(text) + 2; long && width > maxRuleLine && i > 0 {
			b.WriteString("\n\t\t")
			width = len(text)
		} else if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(text)
	}
	b.WriteByte(']')
	return b.String()
}
