package hostnet_test

import (
	"fmt"
	"net/netip"

	"tstun/tunnel/internal/hostnet"
)

// A Config that cannot be is refused before anything changes.
func ExampleHost_Set() {
	var h hostnet.Host // New makes one, which needs root
	_, err := h.Set(hostnet.Config{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
		Routes:    []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
		MTU:       9,
	})
	fmt.Println(err)
	// Output:
	// hostnet: route 1 (10.0.0.1/24): has host bits: write 10.0.0.0/24
	// MTU 9: must be between 68 and 65535, or 0 to have it computed
}
