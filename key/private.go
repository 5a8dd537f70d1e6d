package key

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
)

// Private is a WireGuard private key, a scalar of Curve25519 (RFC 7748 §5). The
// zero value is the absence of a key. However a Private is printed, logged or
// marshalled, it shows only whether there is one; Reveal and Raw32 return it.
// Copies share memory that nothing changes.
type Private struct{ secret secret }

// NewPrivate returns a fresh random key, clamped as RFC 7748 §5 says.
func NewPrivate() Private {
	var raw [size]byte
	rand.Read(raw[:]) // never fails
	raw[0] &= 248
	raw[31] = raw[31]&127 | 64
	return PrivateFromRaw32(raw)
}

// PrivateFromRaw32 returns the key with those 32 bytes, clamped or not. 32
// zeros are the zero value.
func PrivateFromRaw32(raw [32]byte) Private { return Private{newSecret(raw)} }

// ParsePrivate returns the key that Reveal writes so. Its errors do not show
// the text.
func ParsePrivate(text string) (Private, error) {
	raw, err := decode(text)
	return PrivateFromRaw32(raw), err
}

// Public returns the public key that belongs to k, or the zero value if k is.
func (k Private) Public() Public {
	if k.IsZero() {
		return Public{}
	}
	raw := k.Raw32()
	private, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		panic("key: " + err.Error()) // only the length can be wrong, which is 32
	}
	return Public{raw: [size]byte(private.PublicKey().Bytes())}
}

// Reveal returns the key in base64, as wg(8) writes it.
func (k Private) Reveal() string { return encode(k.secret.bytes()) }

// Raw32 returns the key's 32 bytes.
func (k Private) Raw32() [32]byte { return k.secret.bytes() }

// IsZero reports whether k is the zero value, which stands for no key.
func (k Private) IsZero() bool { return k.secret.raw == nil }

// Equal reports whether both are the same key, in a time that does not depend
// on their bytes.
func (k Private) Equal(o Private) bool { return k.secret.equal(o.secret) }

// String returns "(hidden)", or "(none)" for no key.
func (k Private) String() string { return k.secret.shown() }

// GoString returns String's form.
func (k Private) GoString() string { return k.secret.shown() }

// Format prints String's form, whatever the verb is.
func (k Private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.secret.shown()) }

// LogValue returns String's form.
func (k Private) LogValue() slog.Value { return k.secret.log() }

// MarshalText returns String's form, also for JSON. It cannot be read back.
func (k Private) MarshalText() ([]byte, error) { return []byte(k.secret.shown()), nil }
