package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed page.css
var style string

//go:embed page.tmpl
var pageText string

// commas are the parts of a list that may go on in the next line behind each comma.
func commas(list string) []string { return strings.Split(list, ",") }

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"commas": commas}).Parse(pageText))

// policyOfPage lets the page have its own style, and nothing else: no script, nothing from
// anywhere, and nowhere to go (W3C Content Security Policy Level 3).
func policyOfPage() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

// Bounds of the page. What is cut is said, where it is.
const (
	maxText       = 64 << 10 // of the policy, in bytes
	maxMatrixRows = 30
	maxMatrixCols = 12
	maxWords      = 160 // characters of a text that has no end of its own
	maxName       = 60  // of a name
	maxFinding    = 400
)

// Rows of tables.
const (
	maxFlowRows    = 50
	maxRefusedRows = 50
	maxPeerRows    = 50
	maxCellRows    = 150
	maxHistoryRows = 30
	maxEventRows   = 40
	maxFindings    = 12
)

// WriteHTML writes the report as a page, with times of a zone.
func (r *Report) WriteHTML(w io.Writer, zone *time.Location) error {
	return pageTemplate.Execute(w, r.page(zone))
}

// cut returns a text that is not much longer than limit characters.
func cut(text string, limit int) string {
	if len(text) <= limit { // in bytes: no more characters
		return text
	}
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}

// cutLines returns the first lines of a text, and how many bytes and lines are left out.
func cutLines(text string, limit int) (first string, bytes, lines int) {
	if len(text) <= limit {
		return text, 0, 0
	}
	first = text[:limit]
	if i := strings.LastIndexByte(first, '\n'); i >= 0 {
		first = first[:i+1]
	}
	rest := text[len(first):]
	return strings.ToValidUTF8(first, ""), len(rest), strings.Count(strings.TrimSuffix(rest, "\n"), "\n") + 1
}
