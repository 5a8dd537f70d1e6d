package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
)

// Anonymize replaces addresses, names, paths and public keys in m and in parts, the same
// one by the same other one everywhere. What stands for an address has as many bits in
// common with what stands for another as the two had, and is of the same kind (private,
// link-local and so on); loopback and unspecified addresses stay. Comments of the policy
// are left out, and its lines stay where they are. A part that cannot be anonymized is
// left out, and its error says why. Whoever knows a host's traffic may still recognize it.
func Anonymize(m *Manifest, parts []Part) {
	a := newAnonymizer()
	if name, err := os.Hostname(); err == nil && name != "localhost" {
		a.learn(name)
	}
	a.learn(m.Tunnel)
	for i := range parts {
		p := parts[i] // learning changes no part
		a.part(&p)
	}
	n := a.decide()
	if n > 0 {
		m.Note = fmt.Sprintf("%d addresses or prefixes have a replacement that is also another's: there are too many of them in a narrow net", n)
	}
	for i := range parts {
		a.part(&parts[i])
	}
	m.Tunnel, m.Anonymized = a.name(m.Tunnel), true
}

// part replaces what is in a part.
func (a *anonymizer) part(p *Part) {
	p.Note = a.text(p.Note)
	var err error
	switch {
	case p.Err != nil:
		p.Err = partError(a.text(p.Err.Error()))
	case isJSON(p.Path):
		p.Data = eachString(p.Data, a.literal)
	case p.Path == PolicyPath:
		p.Data, err = a.policy(p.Data)
	default:
		p.Data = buildPaths.ReplaceAll(p.Data, []byte("$1"))
	}
	if err != nil {
		p.Data, p.Err = nil, fmt.Errorf("left out, for it cannot be anonymized: %w", err)
	}
}

// buildPaths are the directories of source files in a profile, but for the last one: they
// can have the name of who built the program.
var buildPaths = regexp.MustCompile(`/[^\s]*/([^/\s]+/[^/\s]+\.(?:go|s):\d+)`)

// words are the fields of which the values are words of the program's own.
var words = map[string]bool{
	"kind": true, "time": true, "proto": true, "initiator": true, "first": true, "last": true, "phase": true, "end": true, "reason": true, "lacks": true,
	"mode": true, "started": true, "from": true, "since": true, "until": true, "created": true, "loaded": true, "handshake": true, "code": true, "flags": true, "family": true, "system": true, "kernel": true,
	"version": true, "go": true,
}

// literal returns what stands for a string of a JSON document. The names of fields stay.
func (a *anonymizer) literal(field string, isField bool, literal []byte) []byte {
	var text string
	if isField || words[field] || json.Unmarshal(literal, &text) != nil {
		return literal
	}
	switch field {
	case "name", "peerName", "file":
		text = a.name(text)
	case "configuredEndpoint":
		text = a.endpoint(text)
	case "hash":
		if !a.learns {
			text = hex.EncodeToString(a.digest(text))
		}
	default:
		text = a.text(text)
	}
	if a.learns {
		return literal
	}
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	_ = out.Encode(text) // of a string, it does not fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// endpoint returns what stands for a host with a port.
func (a *anonymizer) endpoint(text string) string {
	host, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		host, port = text[:i], text[i:]
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return a.text(text)
	}
	return a.name(host) + port
}
