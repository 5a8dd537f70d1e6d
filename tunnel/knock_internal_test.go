package tunnel

import (
	"context"
	"net/netip"
	"testing"
)

// Without time for it, nothing is said of the network.
func TestKnockWithoutTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k := knockAt(ctx, netip.MustParseAddrPort("127.0.0.1:9"), 0)
	defer k.close()
	if err := k.answer(); err != nil {
		t.Error(err)
	}
}
