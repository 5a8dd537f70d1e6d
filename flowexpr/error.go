package flowexpr

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is what is wrong in an expression.
type Error struct {
	// Pos is where it is wrong: an offset into the expression in bytes, which is its
	// length if something is missing at the end.
	Pos int
	// Token is what stands there, or "" at the end.
	Token string
	// Message says what would be right.
	Message string
}

// Error returns position, token and message in one line.
func (e *Error) Error() string {
	if e.Token == "" {
		return fmt.Sprintf("at byte %d, the end: %s", e.Pos, e.Message)
	}
	return fmt.Sprintf("at byte %d: %s: %s", e.Pos, shown(e.Token), e.Message)
}

// maxShown is how many bytes of a token an error shows.
const maxShown = 60

// shown returns a token in quotation marks, cut if it is long.
func shown(token string) string {
	if len(token) <= maxShown {
		return fmt.Sprintf("%q", token)
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(token[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", token[:cut])
}

// wrong returns the error that t is wrong.
func wrong(t token, format string, args ...any) error {
	return &Error{Pos: t.pos, Token: t.raw, Message: fmt.Sprintf(format, args...)}
}

// tooLong returns the error that an expression is. why has a place for the bound.
func tooLong(expr, why string) error {
	return &Error{Pos: len(expr), Message: fmt.Sprintf("too long an expression: "+why, maxText)}
}

// orList joins alternatives: "a, b or c".
func orList(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}
