package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"tstun"
	"tstun/filter"
	"tstun/netstack"
)

// A program's names, through its stack. Servers would be those behind the
// tunnel.
func ExampleResolver() {
	w := tstun.Wrap(nil, tstun.NewFake())
	defer w.Close()
	w.SetFilter(filter.NewAllowAll(nil))
	s, err := netstack.New(w, netstack.Config{Addrs: []netip.Addr{netip.MustParseAddr("100.64.0.1")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()

	r := &netstack.Resolver{
		Dial:    s.DialContext,
		Servers: nil, // such as netip.MustParseAddrPort("100.64.0.53:53")
		Search:  []string{"corp.example"},
		Hosts:   map[string][]netip.Addr{"db": {netip.MustParseAddr("100.64.0.9")}},
	}
	ctx := context.Background()
	addrs, err := r.LookupNetIP(ctx, "ip", "DB")
	fmt.Println(addrs, err)
	names, err := r.LookupAddr(ctx, "100.64.0.9")
	fmt.Println(names, err)

	_, err = r.LookupHost(ctx, "localhost")
	fmt.Println(err)
	var dns *net.DNSError
	fmt.Println(errors.As(err, &dns) && dns.IsNotFound)
	_, err = r.LookupHost(ctx, "www.example.com")
	fmt.Println(err)
	// Output:
	// [100.64.0.9] <nil>
	// [db] <nil>
	// lookup localhost: localhost is not in Hosts
	// true
	// lookup www.example.com: no DNS servers given
}
