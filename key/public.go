package key

// Public is a WireGuard public key, a point of Curve25519 (RFC 7748 §5). It is
// comparable. The zero value is the absence of a key.
type Public struct {
	raw [size]byte
}

// PublicFromRaw32 returns the key with those 32 bytes.
func PublicFromRaw32(raw [32]byte) Public { return Public{raw: raw} }

// ParsePublic returns the key that String writes so. Its errors do not show the
// text, which may be a private key in the wrong place.
func ParsePublic(text string) (Public, error) {
	raw, err := decode(text)
	return Public{raw: raw}, err
}

// Raw32 returns the key's 32 bytes.
func (k Public) Raw32() [32]byte { return k.raw }

// IsZero reports whether k is the zero value, which stands for no key.
func (k Public) IsZero() bool { return k == Public{} }

// String returns the key in base64, as wg(8) writes it.
func (k Public) String() string { return encode(k.raw) }

// MarshalText returns String's form.
func (k Public) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts what MarshalText returns and nothing else. On an error
// k is unchanged.
func (k *Public) UnmarshalText(text []byte) error {
	parsed, err := ParsePublic(string(text))
	if err == nil {
		*k = parsed
	}
	return err
}
