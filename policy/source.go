package policy

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// source is a file being read. Its methods note what is wrong and go on.
type source struct {
	name  string
	data  []byte
	lines []int // offsets at which lines begin
	errs  Errors

	prefixes int    // that names and rules stand for, bounded by maxPrefixes
	tested   uint64 // flows, bounded by maxTested
}

// maxPrefixes bounds what names and rules stand for in all, since a few names
// in a few rules can stand for more than any memory holds.
const maxPrefixes = 1 << 22

func newSource(name string, data []byte) *source {
	s := &source{name: name, data: data, lines: []int{0}}
	for i, c := range data {
		if c == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// position returns the place of an offset.
func (s *source) position(offset int) Position {
	line := sort.SearchInts(s.lines, offset+1)
	begin := s.lines[line-1]
	return Position{s.name, line, 1 + utf8.RuneCount(s.data[begin:offset])}
}

// errorf notes that the value v is wrong.
func (s *source) errorf(v *hujson.Value, format string, args ...any) {
	s.add(v.StartOffset, shown(s.data[v.StartOffset:v.EndOffset]), fmt.Sprintf(format, args...))
}

func (s *source) add(offset int, value, message string) {
	if !s.full() {
		s.errs = append(s.errs, &Error{s.position(offset), value, message})
	}
}

// full reports whether no more errors are kept, so that reading on is no use.
func (s *source) full() bool { return len(s.errs) >= maxErrors }

// room takes n prefixes out of those that a file may stand for, and reports
// whether there were as many.
func (s *source) room(v *hujson.Value, n int) bool {
	was := s.prefixes
	s.prefixes += n
	if was <= maxPrefixes && s.prefixes > maxPrefixes {
		s.errorf(v, "from here on, the file stands for more than %d prefixes: want shorter lists, or wider prefixes", maxPrefixes)
	}
	return s.prefixes <= maxPrefixes
}

// err returns what was noted, or nil.
func (s *source) err() error {
	if len(s.errs) == 0 {
		return nil
	}
	return s.errs.sorted()
}

// parse returns the value that the file is.
func (s *source) parse() (v hujson.Value, ok bool) {
	if at, deep := tooDeep(s.data); deep {
		s.add(at, string(s.data[at]), fmt.Sprintf("nested more than %d deep", maxDepth))
		return v, false
	}
	v, err := hujson.Parse(s.data)
	if err == nil {
		return v, true
	}
	var line, column int
	message := err.Error()
	if n, _ := fmt.Sscanf(message, "hujson: line %d, column %d:", &line, &column); n == 2 {
		_, message, _ = strings.Cut(message, ", column ")
		_, message, _ = strings.Cut(message, ": ")
	}
	offset := 0
	if 1 <= line && line <= len(s.lines) {
		offset = min(s.lines[line-1]+max(column-1, 0), len(s.data))
	}
	rest, _, _ := bytes.Cut(s.data[offset:], []byte("\n"))
	s.add(offset, shown(rest), message+": want HuJSON, which is JSON with comments and trailing commas")
	return v, false
}

// maxDepth is how deep values may nest. The forms that are read need six.
const maxDepth = 32

// tooDeep returns where values nest deeper than maxDepth. The parser of
// hujson recurses without a bound of its own.
func tooDeep(b []byte) (offset int, deep bool) {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '/':
			i += commentLength(b[i:])
		case '[', '{':
			if depth++; depth > maxDepth {
				return i, true
			}
		case ']', '}':
			depth--
		}
	}
	return 0, false
}

// commentLength returns how many bytes after the first belong to the comment
// that b begins with, 0 if it begins with none.
func commentLength(b []byte) int {
	end := ""
	switch {
	case bytes.HasPrefix(b, []byte("//")):
		end = "\n"
	case bytes.HasPrefix(b, []byte("/*")):
		end = "*/"
	default:
		return 0
	}
	n := bytes.Index(b[2:], []byte(end))
	if n < 0 {
		return len(b) - 1
	}
	return 2 + n + len(end) - 1
}
