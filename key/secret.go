package key

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"log/slog"
)

// size is the length of each key in bytes. RFC 7748 §5, and the WireGuard
// paper §5.4 for the pre-shared key.
const size = 32

// hidden and none are what stands for a secret, in the words of wg(8).
const (
	hidden = "(hidden)"
	none   = "(none)"
)

// secret points to the bytes of a secret, or is nil for none. fmt prints what is
// in an unexported field of another type without asking for methods, and for a
// verb that does not fit also what a pointer in it points to, but no further:
// hence two pointers.
type secret struct {
	_   [0]func() // == would compare addresses
	raw **[size]byte
}

func newSecret(raw [size]byte) secret {
	if raw == ([size]byte{}) {
		return secret{}
	}
	p := &raw
	return secret{raw: &p}
}

func (s secret) bytes() [size]byte {
	if s.raw == nil {
		return [size]byte{}
	}
	return **s.raw
}

func (s secret) equal(o secret) bool {
	a, b := s.bytes(), o.bytes()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (s secret) shown() string {
	if s.raw == nil {
		return none
	}
	return hidden
}

func (s secret) log() slog.Value { return slog.StringValue(s.shown()) }

// decode returns the bytes of base64 in the one spelling that wg(8) takes: 44
// characters, padded, the unused bits zero. Its errors do not show the text.
func decode(text string) (raw [size]byte, err error) {
	if len(text) != base64.StdEncoding.EncodedLen(size) {
		return raw, errors.New("key: want 44 characters of base64")
	}
	decoded, err := base64.StdEncoding.Strict().AppendDecode(make([]byte, 0, size), []byte(text))
	if err != nil || len(decoded) != size {
		return raw, errors.New("key: not the base64 of 32 bytes")
	}
	copy(raw[:], decoded)
	return raw, nil
}

func encode(raw [size]byte) string { return base64.StdEncoding.EncodeToString(raw[:]) }
