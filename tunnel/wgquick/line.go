package wgquick

import (
	"strings"
	"unicode/utf8"
)

// space is what isspace(3) takes for a space in the C locale, but the newline.
const space = " \t\v\f\r"

// place is a line and a column, both from 1, or the zero value for the file as
// a whole.
type place struct{ line, column int }

// line is one line of a file, without its end.
type line struct {
	number int
	text   string
}

// at returns the place of a byte of the line.
func (l line) at(offset int) place {
	return place{l.number, utf8.RuneCountInString(l.text[:offset]) + 1}
}

// start returns the place of the first byte that is no space.
func (l line) start() place {
	return l.at(len(l.text) - len(strings.TrimLeft(l.text, space)))
}

// code returns the line without its comment.
func (l line) code() string {
	code, _, _ := strings.Cut(l.text, "#")
	return code
}

// setting is a line of the form key = value.
type setting struct {
	line
	// key is the key as it should be written.
	key string
	// value is what stands behind the =, without spaces around it.
	value string
	// from is the offset of value in the line.
	from int
}

// settingOf returns the setting in a line, whose key may be of any spelling,
// and whether there is a =.
func settingOf(l line) (s setting, ok bool) {
	code := l.code()
	key, value, ok := strings.Cut(code, "=")
	trimmed := strings.TrimLeft(value, space)
	from := len(code) - len(trimmed)
	return setting{l, strings.Trim(key, space), strings.TrimRight(trimmed, space), from}, ok
}

// atKey returns the place of the key.
func (s setting) atKey() place { return s.start() }

// atValue returns the place of the value, or of the line's end if it is empty.
func (s setting) atValue() place { return s.at(s.from) }

// item is a part of a setting's value.
type item struct {
	text string
	place
}

// items returns the parts of the value between separators. Those that are
// empty are left out if the separators are more than a comma, as the shell
// does.
func (s setting) items(separators string) []item {
	var items []item
	at, rest, more := s.atValue(), s.value, true
	for more {
		text, separator := rest, ""
		if i := strings.IndexAny(rest, separators); i >= 0 {
			text, separator, rest = rest[:i], rest[i:i+1], rest[i+1:]
		}
		more = separator != ""
		if text != "" || separators == "," {
			skip := len(text) - len(strings.TrimLeft(text, space))
			items = append(items, item{text, place{at.line, at.column + skip}})
		}
		at.column += utf8.RuneCountInString(text + separator)
	}
	return items
}

// withoutSpaces returns a text as wg reads it.
func withoutSpaces(text string) string {
	if !strings.ContainsAny(text, space) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(space, r) {
			return -1
		}
		return r
	}, text)
}

// lower returns a text with ASCII letters in lower case, and no others, which
// is how wg and bash compare in the C locale.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
