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
	data  []byte // without a byte order mark, and with a newline at the end
	size  int    // of data without that newline
	lines []int  // offsets at which lines begin
	marks []int  // characters that begin before each block of markEvery bytes
	errs  Errors
	notes notes

	prefixes int // that names and rules stand for, bounded by maxPrefixes
	counted  int // bytes that were looked at for columns
}

// maxPrefixes bounds what names and rules stand for in all, since a few names
// in a few rules can stand for more than any memory holds.
const maxPrefixes = 1 << 22

// markEvery is how many bytes at most are counted again to find a column.
const markEvery = 1 << 10

// newSource returns the file to be read. data is not changed.
func newSource(name string, data []byte) *source {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	s := &source{name: name, data: data, size: len(data), lines: []int{0}}
	if n := len(data); n > 0 && data[n-1] != '\n' {
		s.data = append(data[:n:n], '\n') // hujson wants one behind a comment
	}
	begun := 0
	for i, c := range s.data {
		if i%markEvery == 0 {
			s.marks = append(s.marks, begun)
		}
		if c == '\n' && i+1 < s.size {
			s.lines = append(s.lines, i+1)
		}
		if utf8.RuneStart(c) {
			begun++
		}
	}
	return s
}

// position returns the place of an offset. It takes the same time in a line of
// any length.
func (s *source) position(offset int) Position {
	offset = min(offset, s.size)
	line := sort.SearchInts(s.lines, offset+1)
	return Position{s.name, line, 1 + s.begun(offset) - s.begun(s.lines[line-1])}
}

// begun returns how many characters begin before an offset.
func (s *source) begun(offset int) int {
	if len(s.marks) == 0 {
		return 0
	}
	block := min(offset/markEvery, len(s.marks)-1)
	n := s.marks[block]
	s.counted += offset - block*markEvery
	for _, c := range s.data[block*markEvery : offset] {
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// errorf notes that the value v is wrong.
func (s *source) errorf(v *hujson.Value, format string, args ...any) {
	s.add(v.StartOffset, s.shown(v), fmt.Sprintf(format, args...))
}

func (s *source) add(offset int, value, message string) {
	if !s.full() {
		s.errs = append(s.errs, &Error{s.position(offset), value, message})
	}
}

// notef notes what was made of the value v, which is not wrong.
func (s *source) notef(v *hujson.Value, format string, args ...any) {
	s.notes.add(func() Note {
		return Note{s.position(v.StartOffset), s.shown(v), fmt.Sprintf(format, args...)}
	})
}

// shown returns the text of v as errors show it.
func (s *source) shown(v *hujson.Value) string { return shown(s.data[v.StartOffset:v.EndOffset]) }

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
	if name := wideEncoding(s.data); name != "" {
		s.add(0, "", "the file is in "+name+": save it as UTF-8")
		return v, false
	}
	if at, deep := tooDeep(s.data); deep {
		s.add(at, string(s.data[at]), fmt.Sprintf("nested more than %d deep", maxDepth))
		return v, false
	}
	v, err := hujson.Parse(s.data)
	if err != nil {
		s.addSyntax(err.Error())
	}
	return v, err == nil
}

// wideEncoding names the encoding of a file that is not in one of single bytes,
// or is empty. JSON begins with two ASCII characters (RFC 4627 §3), so zeros
// tell it where there is no byte order mark.
func wideEncoding(b []byte) string {
	begins := func(mark string) bool { return bytes.HasPrefix(b, []byte(mark)) }
	switch {
	case begins("\xff\xfe\x00\x00"), begins("\x00\x00\xfe\xff"), begins("\x00\x00\x00"):
		return "UTF-32"
	case begins("\xff\xfe"), begins("\xfe\xff"), begins("\x00"), len(b) > 2 && b[1] == 0:
		return "UTF-16"
	}
	return ""
}

// blank reports whether there is nothing in b but white space and comments.
func blank(b []byte) bool {
	for i := 0; i < len(b); i++ {
		if n := commentLength(b[i:]); n > 0 {
			i += n
		} else if !strings.ContainsRune(" \t\r\n", rune(b[i])) {
			return false
		}
	}
	return true
}

// maxDepth is how deep values may nest. The forms that are read need six.
const maxDepth = 32

// tooDeep returns where values nest deeper than maxDepth. The parser of
// hujson recurses without a bound of its own.
func tooDeep(b []byte) (offset int, deep bool) {
	depth := 0
	walkBrackets(b, func(at int) bool {
		switch b[at] {
		case '[', '{':
			depth++
		default:
			depth--
		}
		offset, deep = at, depth > maxDepth
		return !deep
	})
	return offset, deep
}

// walkBrackets calls found with the offset of each bracket and brace that is
// neither in a string nor in a comment, until it returns false.
func walkBrackets(b []byte, found func(at int) bool) {
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
		case '[', '{', ']', '}':
			if !found(i) {
				return
			}
		}
	}
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
