package policy

import (
	"bytes"
	"fmt"
	"strings"
)

// addSyntax adds the error that hujson has with the file.
func (s *source) addSyntax(message string) {
	var line, column int
	if n, _ := fmt.Sscanf(message, "hujson: line %d, column %d:", &line, &column); n == 2 {
		_, message, _ = strings.Cut(message, ", column ")
		_, message, _ = strings.Cut(message, ": ")
	}
	offset := s.size
	if 1 <= line && line <= len(s.lines) {
		offset = min(s.lines[line-1]+max(column-1, 0), s.size)
	}
	if offset == s.size && strings.HasPrefix(message, "parsing value") && blank(s.data) {
		s.add(0, "", `the file is empty: want a policy, such as {"local": "100.64.0.1", "accept": []}`)
		return
	}
	rest, _, _ := bytes.Cut(s.data[offset:], []byte("\n"))
	s.add(offset, shown(rest), s.syntaxMessage(offset, message))
}

// syntaxMessage returns hujson's message in the words of the file, if it is
// about a mistake that people make often.
func (s *source) syntaxMessage(offset int, message string) string {
	literal, isLiteral := strings.CutPrefix(message, "invalid literal: ")
	switch begun := bytes.ContainsAny(s.data[:offset], "{["); {
	case message == "parsing string: unexpected EOF", isLiteral && strings.HasPrefix(literal, `"`) && strings.Contains(literal, "\n"):
		return `a string that does not end in its line: want a closing "`
	case message == "parsing comment: unexpected EOF":
		return "a comment that does not end: want */"
	case strings.HasSuffix(message, "unexpected EOF"):
		return s.unclosed()
	case isLiteral && strings.HasPrefix(literal, `"`):
		return `a string that JSON does not know: want \\ for a backslash, and no control characters`
	case isLiteral && begun, strings.HasPrefix(message, `invalid character '\''`):
		return `want double quotes around names and strings, such as "local"`
	}
	return message + ": want HuJSON, which is JSON with comments and trailing commas"
}

// unclosed says which object or list a file that ends too early leaves open:
// the innermost one.
func (s *source) unclosed() string {
	var open []int
	walkBrackets(s.data, func(at int) bool {
		switch s.data[at] {
		case '[', '{':
			open = append(open, at)
		default:
			open = open[:max(len(open)-1, 0)]
		}
		return true
	})
	if len(open) == 0 {
		return "the file ends too early: want a policy, which is an object"
	}
	at := open[len(open)-1]
	closing := map[byte]string{'[': "]", '{': "}"}[s.data[at]]
	place := s.position(at)
	return fmt.Sprintf("the file ends too early: want a %s for the %c in line %d, column %d", closing, s.data[at], place.Line, place.Column)
}
