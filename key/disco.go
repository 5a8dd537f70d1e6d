// Package key holds keys as values: WireGuard's public, private and pre-shared
// ones, of which the last two never show, and the public key by which a node's
// discovery packets are told from its peers'. All are safe for concurrent use.
package key

import (
	"encoding/hex"
	"fmt"
	"strings"
)

const discoPrefix = "discokey:"

// DiscoPublic is the public half of a discovery key. It is comparable. The
// zero value is the absence of a key: no packet is ever taken to carry it.
type DiscoPublic struct {
	raw [32]byte
}

// DiscoPublicFromRaw32 returns the key with those 32 bytes.
func DiscoPublicFromRaw32(raw [32]byte) DiscoPublic { return DiscoPublic{raw: raw} }

// Raw32 returns the key's 32 bytes.
func (k DiscoPublic) Raw32() [32]byte { return k.raw }

// IsZero reports whether k is the zero value, which stands for no key.
func (k DiscoPublic) IsZero() bool { return k == DiscoPublic{} }

// String returns "discokey:" and 64 hexadecimal digits.
func (k DiscoPublic) String() string { return discoPrefix + hex.EncodeToString(k.raw[:]) }

// MarshalText returns String's form.
func (k DiscoPublic) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts what MarshalText returns and nothing else. On an
// error k is unchanged.
func (k *DiscoPublic) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), discoPrefix)
	if !ok {
		return fmt.Errorf("key: %q does not begin with %q", text, discoPrefix)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("key: %q: %w", text, err)
	}
	if len(raw) != len(k.raw) {
		return fmt.Errorf("key: %q has %d bytes, want %d", text, len(raw), len(k.raw))
	}
	copy(k.raw[:], raw)
	return nil
}
