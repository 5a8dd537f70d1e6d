package policy

import (
	"cmp"
	"fmt"
	"slices"
)

// Note says of something in a file that it does nothing, or was not taken as it
// stands there. The file can be used all the same.
type Note struct {
	Position
	// Value is the text in the file, cut if it is long.
	Value string `json:"value"`
	// Message says what became of it, and why.
	Message string `json:"message"`
}

// String returns place, value and message.
func (n Note) String() string {
	if n.Value == "" {
		return n.Position.String() + ": " + n.Message
	}
	return n.Position.String() + ": " + n.Value + ": " + n.Message
}

// maxNotes bounds how many notes on a file are kept.
const maxNotes = 100

// notes are those on one file. The zero value has none.
type notes struct {
	kept []Note
	more int // that were not kept
}

// add adds the note that say returns, if there is room.
func (n *notes) add(say func() Note) {
	if len(n.kept) < maxNotes {
		n.kept = append(n.kept, say())
	} else {
		n.more++
	}
}

// list returns the notes in the order of the file, and if some were not kept, a
// last one that says so.
func (n notes) list(file string) []Note {
	all := slices.Clone(n.kept)
	slices.SortStableFunc(all, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if n.more > 0 {
		last := Position{file, 1, 1}
		if len(all) > 0 {
			last = all[len(all)-1].Position
		}
		all = append(all, Note{Position: last, Message: fmt.Sprintf("and %d more notes", n.more)})
	}
	return all
}
