package flowexpr

import (
	"strconv"
	"strings"
)

// token is a piece of an expression.
type token struct {
	kind tokenKind
	pos  int    // in bytes
	raw  string // as it stands there
	text string // of a word or a name: without quotation marks or backslash
}

type tokenKind uint8

const (
	tokenEnd      tokenKind = iota
	tokenWord               // may be one of the grammar's words
	tokenName               // in quotation marks or behind a backslash: never is
	tokenOpen               // (
	tokenClose              // )
	tokenNot                // not !
	tokenAnd                // and &&
	tokenOr                 // or ||
	tokenRelation           // < <= > >= = == !=
	tokenBad                // text says why
)

// signs are the tokens that are not words, longer ones first.
var signs = []struct {
	text string
	kind tokenKind
}{
	{"&&", tokenAnd}, {"||", tokenOr}, {"<=", tokenRelation}, {">=", tokenRelation}, {"==", tokenRelation}, {"!=", tokenRelation},
	{"(", tokenOpen}, {")", tokenClose}, {"!", tokenNot}, {"<", tokenRelation}, {">", tokenRelation}, {"=", tokenRelation},
}

var operators = map[string]tokenKind{"not": tokenNot, "and": tokenAnd, "or": tokenOr}

// lex returns the tokens of an expression, the last of which is a tokenEnd.
func lex(s string) (tokens []token) {
	for at := 0; ; {
		at += len(s[at:]) - len(strings.TrimLeft(s[at:], " \t\r\n"))
		t := lexOne(s[at:])
		t.pos = at
		tokens = append(tokens, t)
		if t.kind == tokenEnd {
			return tokens
		}
		at += len(t.raw)
	}
}

// lexOne returns the token that s begins with.
func lexOne(s string) token {
	if s == "" {
		return token{}
	}
	for _, sign := range signs {
		if strings.HasPrefix(s, sign.text) {
			return token{kind: sign.kind, raw: sign.text}
		}
	}
	switch s[0] {
	case '"':
		return lexQuoted(s)
	case '\\':
		if n := wordLen(s[1:]); n > 0 {
			return token{kind: tokenName, raw: s[:1+n], text: s[1 : 1+n]}
		}
		return token{kind: tokenBad, raw: s[:1], text: "want a name behind the backslash"}
	}
	n := wordLen(s)
	switch {
	case n == 0:
		return lexBad(s)
	case strings.HasPrefix(s[n:], "["):
		if end := strings.IndexByte(s, ']'); end >= 0 {
			n = end
		}
		return token{kind: tokenBad, raw: s[:n+1], text: noBytes}
	}
	if kind, ok := operators[s[:n]]; ok {
		return token{kind: kind, raw: s[:n]}
	}
	return token{kind: tokenWord, raw: s[:n], text: s[:n]}
}

// lexQuoted returns the name in quotation marks that s begins with, as Go writes strings.
func lexQuoted(s string) token {
	raw, err := strconv.QuotedPrefix(s)
	if err != nil {
		return token{kind: tokenBad, raw: s[:1], text: `want a name in quotation marks, such as "my laptop", with \" and \\ inside for those two`}
	}
	text, _ := strconv.Unquote(raw) // which QuotedPrefix has checked
	return token{kind: tokenName, raw: raw, text: text}
}

// lexBad returns the character that s begins with, which has no meaning.
func lexBad(s string) token {
	why := "want words, parentheses, and and or or between two tests"
	if strings.ContainsRune("&|+*^[]", rune(s[0])) {
		why = "arithmetic on the bytes of a packet is not possible: want and, or, && or || between two tests"
	}
	return token{kind: tokenBad, raw: s[:1], text: why}
}

// wordLen returns how many bytes at the beginning of s are of one word.
func wordLen(s string) int {
	for i, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c >= 0x80, strings.IndexByte("._:/@%-", c) >= 0:
		default:
			return i
		}
	}
	return len(s)
}
