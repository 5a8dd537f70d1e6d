package bundle

import (
	"bytes"
	"path/filepath"
)

// isJSON reports whether a part is a JSON document, or has one in each line.
func isJSON(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".json" || ext == ".jsonl"
}

// eachString calls f with each string of JSON text, as it stands there with its quotation
// marks: the name of a field, or a value with the name of the field that it is in, also in
// a list. It returns the text with what f returns in their places.
func eachString(text []byte, f func(field string, isField bool, literal []byte) []byte) []byte {
	out := make([]byte, 0, len(text))
	field := ""
	for len(text) > 0 {
		begin := bytes.IndexByte(text, '"')
		if begin < 0 {
			break
		}
		n := literalLength(text[begin:])
		out = append(out, text[:begin]...)
		literal := text[begin : begin+n]
		text = text[begin+n:]
		isField := bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte(":"))
		if isField {
			field = string(bytes.Trim(literal, `"`))
		}
		out = append(out, f(field, isField, literal)...)
	}
	return append(out, text...)
}

// literalLength returns how long the string is with which text begins.
func literalLength(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}
