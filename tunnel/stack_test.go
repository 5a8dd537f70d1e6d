package tunnel_test

import (
	"errors"
	"strings"
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/key"
	"tstun/tunnel"
)

// Setup has the Wrapper before packets do, its filter stays, its error is
// Start's, and nothing is left then.
func TestSetup(t *testing.T) {
	none, err := filter.New(filter.Config{Local: prefixes("10.9.0.1/32")})
	if err != nil {
		t.Fatal(err)
	}
	var wrapper *tstun.Wrapper
	c := tunnel.Config{
		Mode: tunnel.ModeUserspace, PrivateKey: key.NewPrivate(), Addresses: prefixes("10.9.0.1/32"),
		Setup: func(w *tstun.Wrapper) error {
			w.SetFilter(none)
			wrapper = w
			return nil
		},
	}
	tun, err := tunnel.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	if wrapper.GetFilter() != none {
		t.Error("another filter is in force")
	}
	if a := tun.Stack(); a == nil {
		t.Error("no network stack")
	}
	bad := errors.New("no such luck")
	c.Setup = func(*tstun.Wrapper) error { return bad }
	if _, err := tunnel.Start(t.Context(), c); !errors.Is(err, bad) || !strings.HasPrefix(err.Error(), "tunnel: start: ") {
		t.Errorf("%v", err)
	}
}
