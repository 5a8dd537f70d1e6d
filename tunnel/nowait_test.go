package tunnel_test

import (
	"testing"

	"tstun/key"
	"tstun/tunnel"
)

// With NoWait, Start does not wait for a required peer that is away; Ready does.
func TestNoWait(t *testing.T) {
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Peers[0].Required, c.NoWait = true, true
	tun, err := tunnel.Start(within(t), c)
	if err != nil {
		t.Fatal(err)
	}
	defer tun.Close()
	if err := tun.Ready(within(t)); err == nil {
		t.Error("ready without the peer")
	}
}
