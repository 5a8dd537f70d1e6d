package key_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"

	"tstun/key"
)

// The vectors of RFC 7748 §6.1: Alice's private and public key.
const (
	alicePrivate = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
	alicePublic  = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
)

func TestPublic(t *testing.T) {
	private, err := key.ParsePrivate(alicePrivate)
	if err != nil {
		t.Fatal(err)
	}
	if got := private.Public().String(); got != alicePublic {
		t.Errorf("got %s, want %s", got, alicePublic)
	}
	if !(key.Private{}).Public().IsZero() {
		t.Error("no private key has a public key")
	}
}

// New keys are those of wg: it finds the same public key, and they are clamped.
func TestNewPrivate(t *testing.T) {
	a, b := key.NewPrivate(), key.NewPrivate()
	raw := a.Raw32()
	if a.Equal(b) || a.IsZero() || raw[0]&7 != 0 || raw[31]&0xc0 != 0x40 {
		t.Error("not two fresh clamped keys")
	}
	if key.NewPreshared().Equal(key.NewPreshared()) || key.NewPreshared().IsZero() {
		t.Error("not two fresh secrets")
	}
	wg, err := exec.LookPath("wg")
	if err != nil {
		t.Skipf("no wg: %v", err)
	}
	cmd := exec.Command(wg, "pubkey")
	cmd.Stdin = strings.NewReader(a.Reveal())
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != a.Public().String() {
		t.Errorf("wg has %s, %v; want %s", got, err, a.Public())
	}
}

func TestKeyTextRoundTrip(t *testing.T) {
	private, err := key.ParsePrivate(alicePrivate)
	if err != nil || private.Reveal() != alicePrivate || !private.Equal(key.PrivateFromRaw32(private.Raw32())) {
		t.Errorf("private: %v", err)
	}
	shared, err := key.ParsePreshared(alicePrivate)
	if err != nil || shared.Reveal() != alicePrivate || !shared.Equal(key.PresharedFromRaw32(shared.Raw32())) || shared.Raw32() != private.Raw32() {
		t.Errorf("pre-shared: %v", err)
	}
	public, err := key.ParsePublic(alicePublic)
	if err != nil || public != key.PublicFromRaw32(public.Raw32()) || public.IsZero() {
		t.Errorf("public: %v", err)
	}
	var again key.Public
	if text, err := public.MarshalText(); err != nil || again.UnmarshalText(text) != nil || again != public {
		t.Errorf("%s, %v", text, err)
	}
	if !key.PrivateFromRaw32([32]byte{}).IsZero() || !key.PresharedFromRaw32([32]byte{}).Equal(key.Preshared{}) {
		t.Error("32 zeros are not the zero value")
	}
}

// One spelling of a key is taken, and an error does not show another.
func TestParseRefuses(t *testing.T) {
	for _, in := range []string{"", alicePrivate[:43], alicePrivate + "=", alicePrivate[:43] + "A", strings.Replace(alicePrivate, "+", "-", 1)[:42] + "p=",
		strings.Replace(alicePrivate, "w", "-", 1), alicePrivate[:20] + "\n" + alicePrivate[20:43], alicePrivate[:41] + "\n" + "o=", strings.Repeat("=", 44)} {
		_, err1 := key.ParsePrivate(in)
		_, err2 := key.ParsePreshared(in)
		public, err3 := key.ParsePublic(in)
		kept := key.PublicFromRaw32([32]byte{1})
		err4 := kept.UnmarshalText([]byte(in))
		for _, err := range []error{err1, err2, err3, err4} {
			if err == nil || in != "" && strings.Contains(err.Error(), in[:min(len(in), 8)]) {
				t.Errorf("%q: %v", in, err)
			}
		}
		if !public.IsZero() || kept != key.PublicFromRaw32([32]byte{1}) {
			t.Errorf("%q: a key and an error", in)
		}
	}
}

// Secrets show in no way of printing, not even as a field that fmt prints
// without methods.
func TestSecretsAreHidden(t *testing.T) {
	private, err := key.ParsePrivate(alicePrivate)
	if err != nil {
		t.Fatal(err)
	}
	shared := key.PresharedFromRaw32(private.Raw32())
	type exported struct {
		A key.Private
		B key.Preshared
	}
	type unexported struct {
		a key.Private
		b *key.Preshared
		c any
	}
	raw := private.Raw32()
	secrets := []string{alicePrivate[:10], fmt.Sprintf("%x", raw[:4]), fmt.Sprintf("%X", raw[:4]), strings.Trim(fmt.Sprint(raw[:4]), "[]"), strings.Trim(fmt.Sprintf("%#v", raw[:2]), "[]byte{}")}
	for _, v := range []any{private, shared, &private, &shared, exported{private, shared}, &exported{private, shared}, unexported{private, &shared, shared}, []key.Private{private}, map[string]key.Preshared{"x": shared}} {
		for _, said := range said(t, v) {
			for _, secret := range secrets {
				if strings.Contains(said, secret) {
					t.Errorf("%T: %s shows %s", v, said, secret)
				}
			}
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s %x %d", private, shared, private, shared, private, shared); got != strings.TrimSpace(strings.Repeat("(hidden) ", 6)) {
		t.Error(got)
	}
	if got := fmt.Sprint(key.Private{}, " ", key.Preshared{}.GoString(), private.GoString(), shared.String()); got != "(none) (none)(hidden)(hidden)" {
		t.Error(got)
	}
}

// said returns what fmt, slog and JSON make of a value.
func said(t *testing.T, v any) []string {
	t.Helper()
	var all []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%e"} {
		all = append(all, fmt.Sprintf(verb, v))
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return append(all, b.String(), string(text), fmt.Errorf("x: %v", v).Error())
}
