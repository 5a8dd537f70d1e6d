package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// edit puts text in the place of a part of a file. Edits do not overlap.
type edit struct {
	from, to int // offsets; equal ones insert
	text     string
}

// applied returns data with the edits made, which it sorts.
func applied(data []byte, edits []edit) []byte {
	sortEdits(edits)
	var b bytes.Buffer
	at := 0
	for _, e := range edits {
		b.Write(data[at:e.from])
		b.WriteString(e.text)
		at = e.to
	}
	b.Write(data[at:])
	return b.Bytes()
}

func sortEdits(edits []edit) {
	slices.SortStableFunc(edits, func(a, b edit) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return a.to - b.to
	})
}

// container is a list or an object of a file, to which elements can be added.
type container struct {
	*source
	end  int     // offset of its closing bracket
	open int     // offset of its opening one
	last *extent // the last element, or nil
}

// extent is where an element is: from its first byte to behind its last.
type extent struct{ from, to int }

// containerOf returns the list or the object v.
func (s *source) containerOf(v *hujson.Value) container {
	c := container{source: s, open: v.StartOffset, end: v.EndOffset - 1}
	switch v := v.Value.(type) {
	case *hujson.Array:
		if n := len(v.Elements); n > 0 {
			c.last = &extent{v.Elements[n-1].StartOffset, v.Elements[n-1].EndOffset}
		}
	case *hujson.Object:
		if n := len(v.Members); n > 0 {
			c.last = &extent{v.Members[n-1].Name.StartOffset, v.Members[n-1].Value.EndOffset}
		}
	}
	return c
}

// add returns the edits that add elements behind the last one. Each has lines of its
// own; comments stay where they are.
func (c container) add(elements []string) []edit {
	if len(elements) == 0 {
		return nil
	}
	outer := c.indentAt(c.open)
	if c.last == nil {
		from := c.open + 1 + len(bytes.TrimRight(c.data[c.open+1:c.end], " \t\r\n"))
		return []edit{{from, c.end, inLines(elements, outer+"\t") + ",\n" + outer}}
	}
	inner := outer + "\t"
	if begin := c.lineStart(c.last.from); len(bytes.TrimSpace(c.data[begin:c.last.from])) == 0 {
		inner = c.indentAt(c.last.from)
	}
	comma, behind := c.rest(c.last.to)
	var edits []edit
	text := inLines(elements, inner)
	if comma {
		text += ","
	} else {
		edits = append(edits, edit{c.last.to, c.last.to, ","})
	}
	if behind == c.end { // the bracket is in the same line
		text += "\n" + outer
	}
	return append(edits, edit{behind, behind, text})
}

// inLines returns elements, each in lines of its own, without the last comma.
func inLines(elements []string, indent string) string {
	all := make([]string, len(elements))
	for i, e := range elements {
		all[i] = "\n" + indent + strings.ReplaceAll(e, "\n", "\n"+indent)
	}
	return strings.Join(all, ",")
}

// rest reports whether there is a comma behind the element that ends at an offset,
// and returns the end of what is behind it in its line: spaces, comments, the comma.
func (c container) rest(at int) (comma bool, behind int) {
	behind = at
	for at < c.end && c.data[at] != '\n' {
		n := commentLength(c.data[at:])
		if n > 0 && bytes.HasPrefix(c.data[at:], []byte("//")) {
			n-- // the end of its line is not its own
		}
		comma = comma || n == 0 && c.data[at] == ','
		at += n + 1
		if n > 0 || c.data[at-1] != ' ' && c.data[at-1] != '\t' && c.data[at-1] != '\r' {
			behind = at
		}
	}
	if at == c.end {
		behind = c.end
	}
	return comma, behind
}

func (s *source) lineStart(offset int) int {
	return bytes.LastIndexByte(s.data[:offset], '\n') + 1
}

// indentAt returns the white space that the line of an offset begins with.
func (s *source) indentAt(offset int) string {
	line := s.data[s.lineStart(offset):]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// remove returns the edit that takes an element away, with its comma, and its lines
// if nothing else is in them.
func (c container) remove(e extent) edit {
	to := e.to
	for at := to; at < c.end; at++ {
		if n := commentLength(c.data[at:]); n > 0 {
			at += n
		} else if c.data[at] == ',' {
			if len(bytes.TrimSpace(c.data[e.to:at])) == 0 { // or else a comment would go too
				to = at + 1
				break
			}
			return edit{e.from, e.to, ""}
		} else if !strings.ContainsRune(" \t\r\n", rune(c.data[at])) {
			break
		}
	}
	begin := c.lineStart(e.from)
	end := bytes.IndexByte(c.data[to:], '\n')
	if end >= 0 && len(bytes.TrimSpace(c.data[begin:e.from])) == 0 && len(bytes.TrimSpace(c.data[to:to+end])) == 0 {
		return edit{begin, to + end + 1, ""}
	}
	return edit{e.from, to, ""}
}

// patchOf returns what edits make of a file in the unified form that patch
// and git apply read. It is empty if there is none.
func patchOf(name string, data []byte, edits []edit) string {
	var b strings.Builder
	sortEdits(edits)
	old := splitLines(data)
	starts := make([]int, len(old)+1) // of lines
	for i, line := range old {
		starts[i+1] = starts[i] + len(line)
	}
	changes := lineChanges(data, edits, old, starts)
	shift := 0
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].from-changes[n-1].to <= 2*contextLines {
			n++
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "--- %s\n+++ %[1]s\n", name)
		}
		shift += writeHunk(&b, old, changes[:n], shift)
		changes = changes[n:]
	}
	return b.String()
}

// contextLines is how many lines around a change a patch shows.
const contextLines = 3

// lineChange puts lines in the place of those from one to before another.
type lineChange struct {
	from, to int
	lines    []string
}

// splitLines returns the lines with their ends.
func splitLines(data []byte) []string {
	lines := strings.SplitAfter(string(data), "\n")
	if n := len(lines) - 1; lines[n] == "" {
		lines = lines[:n]
	}
	return lines
}

// lineChanges returns the edits by lines: those in a common line as one.
func lineChanges(data []byte, edits []edit, old []string, starts []int) []lineChange {
	line := func(offset int) int {
		i, found := slices.BinarySearch(starts, offset)
		if !found {
			i--
		}
		return min(i, len(old)-1)
	}
	var all []lineChange
	for len(edits) > 0 {
		from, to := line(edits[0].from), line(edits[0].to)
		n := 1
		for n < len(edits) && line(edits[n].from) <= to {
			to = max(to, line(edits[n].to))
			n++
		}
		begin, end := starts[from], len(data)
		if to+1 < len(old) {
			end = starts[to+1]
		}
		part := slices.Clone(edits[:n])
		for i := range part {
			part[i].from, part[i].to = part[i].from-begin, part[i].to-begin
		}
		edits = edits[n:]
		c := lineChange{from, to + 1, splitLines(applied(data[begin:end], part))}
		for c.from < c.to && len(c.lines) > 0 && old[c.from] == c.lines[0] {
			c.from, c.lines = c.from+1, c.lines[1:]
		}
		for c.from < c.to && len(c.lines) > 0 && old[c.to-1] == c.lines[len(c.lines)-1] {
			c.to, c.lines = c.to-1, c.lines[:len(c.lines)-1]
		}
		if c.from < c.to || len(c.lines) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// writeHunk writes changes that are near each other, and returns by how many lines
// they make the file longer. shift is by how many it is longer before them.
func writeHunk(b *strings.Builder, old []string, changes []lineChange, shift int) (longer int) {
	from := max(changes[0].from-contextLines, 0)
	to := min(changes[len(changes)-1].to+contextLines, len(old))
	for _, c := range changes {
		longer += len(c.lines) - (c.to - c.from)
	}
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", from+1, to-from, from+1+shift, to-from+longer)
	at := from
	write := func(sign string, lines []string) {
		for _, line := range lines {
			b.WriteString(sign + line)
			if !strings.HasSuffix(line, "\n") {
				b.WriteString("\n\\ No newline at end of file\n")
			}
		}
	}
	for _, c := range changes {
		write(" ", old[at:c.from])
		write("-", old[c.from:c.to])
		write("+", c.lines)
		at = c.to
	}
	write(" ", old[at:to])
	return longer
}
