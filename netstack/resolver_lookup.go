package netstack

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// LookupHost returns the addresses of a host. An address as host is returned
// as it is.
func (r *Resolver) LookupHost(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	addrs, err := r.addrs(ctx, host, "ip")
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(addrs))
	for _, a := range addrs {
		names = append(names, a.String())
	}
	return names, nil
}

// LookupIPAddr returns the addresses of a host.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	addrs, err := r.addrs(ctx, host, "ip")
	if err != nil {
		return nil, err
	}
	ips := make([]net.IPAddr, 0, len(addrs))
	for _, a := range addrs {
		ips = append(ips, net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	}
	return ips, nil
}

// LookupIP returns the addresses of a host. network is ip, ip4 or ip6; another
// is a net.UnknownNetworkError.
func (r *Resolver) LookupIP(ctx context.Context, network, host string) ([]net.IP, error) {
	addrs, err := r.addrs(ctx, host, network)
	if err != nil {
		return nil, err
	}
	ips := make([]net.IP, 0, len(addrs))
	for _, a := range addrs {
		ips = append(ips, a.AsSlice())
	}
	return ips, nil
}

// LookupNetIP returns the addresses of a host. network is as of LookupIP. None
// is an IPv4-mapped one.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return r.addrs(ctx, host, network)
}

// LookupCNAME returns the name of a host behind all aliases, with a final dot if
// it has a domain.
// It is found if the host has addresses or is an alias.
func (r *Resolver) LookupCNAME(ctx context.Context, host string) (string, error) {
	s, err := r.settings(host)
	if err != nil {
		return "", err
	}
	if addrs, ok := s.hostsOf(host); ok {
		if len(addrs) == 0 {
			return "", noAddress(host)
		}
		return hostName(host), nil
	}
	answers, err := r.lookup(ctx, host, dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME)
	if err != nil {
		return "", err
	}
	name := answers[0].name.String()
	if !isDomainName(name) {
		return "", &net.DNSError{Err: malformed, Name: host}
	}
	return name, nil
}

// LookupAddr returns the names of an address, which end with a dot if they
// have a domain. Those that are not domain names are left out, and an error
// stands beside the rest.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return nil, &net.DNSError{Err: "unrecognized address", Name: addr}
	}
	s, err := r.settings(addr)
	if err != nil {
		return nil, err
	}
	a = a.Unmap()
	if names := s.names[a]; names != nil {
		return slices.Clone(names), nil
	}
	found, err := r.lookupOne(ctx, reverseName(a), dnsmessage.TypePTR)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found.records))
	for _, body := range found.records {
		names = append(names, body.(*dnsmessage.PTRResource).PTR.String())
	}
	return named(names, addr, isDomainName)
}

// queries are what addresses of a network are asked for with.
var queries = map[string][]dnsmessage.Type{
	"ip":  {dnsmessage.TypeAAAA, dnsmessage.TypeA},
	"ip4": {dnsmessage.TypeA},
	"ip6": {dnsmessage.TypeAAAA},
}

// addrs returns the addresses of a host or address that belong to the network:
// at least one.
func (r *Resolver) addrs(ctx context.Context, host, network string) ([]netip.Addr, error) {
	types, ok := queries[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a = a.Unmap(); !isOf(a, network) {
			return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
		}
		return []netip.Addr{a}, nil
	}
	s, err := r.settings(host)
	if err != nil {
		return nil, err
	}
	addrs, ok := s.hostsOf(host)
	if !ok {
		answers, err := r.lookup(ctx, host, types...)
		if err != nil {
			return nil, err
		}
		addrs = addrsOf(answers)
	}
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !isOf(a, network) })
	if len(addrs) == 0 {
		return nil, noAddress(host)
	}
	return r.order(ctx, addrs), nil
}

func isOf(a netip.Addr, network string) bool {
	return network == "ip" || a.Is4() == (network == "ip4")
}

func addrsOf(answers []answer) []netip.Addr {
	var addrs []netip.Addr
	for _, a := range answers {
		for _, body := range a.records {
			switch b := body.(type) {
			case *dnsmessage.AResource:
				addrs = append(addrs, netip.AddrFrom4(b.A))
			case *dnsmessage.AAAAResource:
				addrs = append(addrs, netip.AddrFrom16(b.AAAA).Unmap())
			}
		}
	}
	return addrs
}

// order puts the IP version first that the stack has, and IPv6 if it has both.
func (r *Resolver) order(ctx context.Context, addrs []netip.Addr) []netip.Addr {
	first6 := slices.IndexFunc(addrs, netip.Addr.Is6)
	if first6 < 0 || !slices.ContainsFunc(addrs, netip.Addr.Is4) {
		return addrs
	}
	first := r.reaches(ctx, addrs[first6])
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int {
		switch {
		case a.Is6() == b.Is6():
			return 0
		case a.Is6() == first:
			return -1
		}
		return 1
	})
	return addrs
}

// lookup asks for the name as it is and in the search domains, until one has
// an answer, for all types at once. Answers are in the order of types, and at
// least one. The error is that of the name as it is, if it was asked for.
func (r *Resolver) lookup(ctx context.Context, name string, types ...dnsmessage.Type) ([]answer, error) {
	s, err := r.settings(name)
	if err != nil {
		return nil, err
	}
	failure := dnsError(errNoName, name, "")
	if !isDomainName(name) {
		return nil, failure
	}
	for i, fqdn := range s.candidates(name) {
		answers, err := r.askAll(ctx, fqdn, types)
		if err == nil {
			return answers, nil
		}
		if i == 0 || fqdn == absolute(name) {
			failure = err
		}
		if ctx.Err() != nil {
			failure = err
			break
		}
	}
	failure.Name = name // as it was given
	return nil, failure
}

// lookupOne is lookup for records of one type.
func (r *Resolver) lookupOne(ctx context.Context, name string, t dnsmessage.Type) (answer, error) {
	answers, err := r.lookup(ctx, name, t)
	if err != nil {
		return answer{}, err
	}
	return answers[0], nil
}

// askAll returns the answers that came, or else an error. One that leaves open
// whether there are records goes before one that does not.
func (r *Resolver) askAll(ctx context.Context, fqdn string, types []dnsmessage.Type) ([]answer, *net.DNSError) {
	answers := make([]answer, len(types))
	errs := make([]*net.DNSError, len(types))
	var wg sync.WaitGroup
	for i, t := range types {
		wg.Go(func() { answers[i], errs[i] = r.ask(ctx, fqdn, t) })
	}
	wg.Wait()
	var found []answer
	var failure *net.DNSError
	for i, err := range errs {
		switch {
		case err == nil:
			found = append(found, answers[i])
		case failure == nil || failure.IsNotFound:
			failure = err
		}
	}
	if found != nil {
		return found, nil
	}
	return nil, failure
}
