package bundle

import (
	"encoding/json"
	"regexp"
)

// What stands in a bundle for what must not be in it.
const (
	hiddenKey      = "(a key, hidden)"
	hiddenPassword = "://(hidden)@"
)

var (
	// keyShape is base64 of 32 bytes, with the character before and the one behind it.
	keyShape = regexp.MustCompile(`(^|[^A-Za-z0-9+/])([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)`)
	// userinfo is a name, or a name and a password, in a URL: RFC 3986 §3.2.1.
	userinfo = regexp.MustCompile(`://[^/\s"@]+@`)
)

// HideSecrets takes keys that are not known to be public, and passwords in URLs, out of
// all parts, their notes and errors. Nothing that is asked is to have any, so that this
// is a second lock: a policy's comment can have one, or what a program said of a file.
func HideSecrets(parts []Part) {
	public := publicKeys(parts)
	hide := func(text []byte) []byte {
		text = userinfo.ReplaceAll(text, []byte(hiddenPassword))
		return keyShape.ReplaceAllFunc(text, func(m []byte) []byte {
			at := keyShape.FindSubmatchIndex(m)
			if public[string(m[at[4]:at[5]])] {
				return m
			}
			return append(m[:at[3]:at[3]], hiddenKey...)
		})
	}
	for i := range parts {
		p := &parts[i]
		if p.Data != nil {
			p.Data = hide(p.Data)
		}
		p.Note = string(hide([]byte(p.Note)))
		if p.Err != nil {
			p.Err = partError(hide([]byte(p.Err.Error())))
		}
	}
}

// partError is an error whose text was changed.
type partError string

func (e partError) Error() string { return string(e) }

// publicKeys returns what documents call a public key.
func publicKeys(parts []Part) map[string]bool {
	public := make(map[string]bool)
	for i := range parts {
		if !isJSON(parts[i].Path) {
			continue
		}
		eachString(parts[i].Data, func(field string, isField bool, literal []byte) []byte {
			if !isField && (field == "publicKey" || field == "peer") {
				var text string
				if json.Unmarshal(literal, &text) == nil {
					public[text] = true
				}
			}
			return literal
		})
	}
	return public
}
