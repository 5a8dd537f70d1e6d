package key

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
)

// Preshared is the secret that two WireGuard peers may share beside their keys
// (WireGuard paper §5.4). The zero value is the absence of one, and the same to
// the protocol. However a Preshared is printed, logged or marshalled, it shows
// only whether there is one; Reveal and Raw32 return it. Copies share memory
// that nothing changes.
type Preshared struct{ secret secret }

// NewPreshared returns a fresh random secret.
func NewPreshared() Preshared {
	var raw [size]byte
	rand.Read(raw[:]) // never fails
	return PresharedFromRaw32(raw)
}

// PresharedFromRaw32 returns the secret with those 32 bytes. 32 zeros are the
// zero value.
func PresharedFromRaw32(raw [32]byte) Preshared { return Preshared{newSecret(raw)} }

// ParsePreshared returns the secret that Reveal writes so. Its errors do not
// show the text.
func ParsePreshared(text string) (Preshared, error) {
	raw, err := decode(text)
	return PresharedFromRaw32(raw), err
}

// Reveal returns the secret in base64, as wg(8) writes it.
func (k Preshared) Reveal() string { return encode(k.secret.bytes()) }

// Raw32 returns the secret's 32 bytes.
func (k Preshared) Raw32() [32]byte { return k.secret.bytes() }

// IsZero reports whether k is the zero value, which stands for no secret.
func (k Preshared) IsZero() bool { return k.secret.raw == nil }

// Equal reports whether both are the same secret, in a time that does not
// depend on their bytes.
func (k Preshared) Equal(o Preshared) bool { return k.secret.equal(o.secret) }

// String returns "(hidden)", or "(none)" for no secret.
func (k Preshared) String() string { return k.secret.shown() }

// GoString returns String's form.
func (k Preshared) GoString() string { return k.secret.shown() }

// Format prints String's form, whatever the verb is.
func (k Preshared) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.secret.shown()) }

// LogValue returns String's form.
func (k Preshared) LogValue() slog.Value { return k.secret.log() }

// MarshalText returns String's form, also for JSON. It cannot be read back.
func (k Preshared) MarshalText() ([]byte, error) { return []byte(k.secret.shown()), nil }
