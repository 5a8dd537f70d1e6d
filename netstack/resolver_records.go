package netstack

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// malformed is the error beside records that are left.
const malformed = "DNS response contained records which contain invalid names"

// named returns the records whose names are valid, and an error if that is not
// all of them.
func named[T any](all []T, asked string, valid func(T) bool) ([]T, error) {
	n := len(all)
	all = slices.DeleteFunc(all, func(r T) bool { return !valid(r) })
	if len(all) < n {
		return all, &net.DNSError{Err: malformed, Name: asked}
	}
	return all, nil
}

// LookupMX returns the mail servers of a domain by preference. Those that are
// neither a domain name nor an address are left out, and an error stands
// beside the rest.
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	found, err := r.lookupOne(ctx, name, dnsmessage.TypeMX)
	if err != nil {
		return nil, err
	}
	mxs := make([]*net.MX, 0, len(found.records))
	for _, body := range found.records {
		mx := body.(*dnsmessage.MXResource)
		mxs = append(mxs, &net.MX{Host: mx.MX.String(), Pref: mx.Pref})
	}
	// RFC 5321 §5.1: equal ones by chance.
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	return named(mxs, name, func(mx *net.MX) bool { return isDomainName(mx.Host) || isAddress(mx.Host) })
}

// isAddress is for an address in the place of a name.
func isAddress(s string) bool {
	a, err := netip.ParseAddr(strings.TrimSuffix(s, "."))
	return err == nil && a.Zone() == ""
}

// LookupNS returns the name servers of a domain. Those that are not domain
// names are left out, and an error stands beside the rest.
func (r *Resolver) LookupNS(ctx context.Context, name string) ([]*net.NS, error) {
	found, err := r.lookupOne(ctx, name, dnsmessage.TypeNS)
	if err != nil {
		return nil, err
	}
	nss := make([]*net.NS, 0, len(found.records))
	for _, body := range found.records {
		nss = append(nss, &net.NS{Host: body.(*dnsmessage.NSResource).NS.String()})
	}
	return named(nss, name, func(ns *net.NS) bool { return isDomainName(ns.Host) })
}

// LookupTXT returns the texts of a name. The strings of one record are joined.
// A text may have any bytes.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	found, err := r.lookupOne(ctx, name, dnsmessage.TypeTXT)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(found.records))
	for _, body := range found.records {
		texts = append(texts, strings.Join(body.(*dnsmessage.TXTResource).TXT, ""))
	}
	return texts, nil
}

// LookupSRV returns the servers of a service by priority, and by weight and
// chance within one. The name looked up is _service._proto.name, or name if
// service and proto are empty; cname is what it is behind all aliases. Servers
// that are not domain names are left out, and an error stands beside the rest.
func (r *Resolver) LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error) {
	asked := name
	if service != "" || proto != "" {
		asked = "_" + service + "._" + proto + "." + name
	}
	found, err := r.lookupOne(ctx, asked, dnsmessage.TypeSRV)
	if err != nil {
		return "", nil, err
	}
	cname = found.name.String()
	if !isDomainName(cname) {
		return "", nil, &net.DNSError{Err: malformed, Name: name}
	}
	addrs = make([]*net.SRV, 0, len(found.records))
	for _, body := range found.records {
		s := body.(*dnsmessage.SRVResource)
		addrs = append(addrs, &net.SRV{Target: s.Target.String(), Port: s.Port, Priority: s.Priority, Weight: s.Weight})
	}
	orderSRV(addrs)
	addrs, err = named(addrs, name, func(s *net.SRV) bool { return isDomainName(s.Target) })
	return cname, addrs, err
}

// orderSRV sorts as RFC 2782 says: by priority, and each priority by chance,
// in proportion to the weights.
func orderSRV(all []*net.SRV) {
	slices.SortFunc(all, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Weight, b.Weight))
	})
	sum := 0
	for start, end := 0, 0; start < len(all); start++ {
		if start == end { // the next priority
			sum = 0
			for end < len(all) && all[end].Priority == all[start].Priority {
				sum += int(all[end].Weight)
				end++
			}
		}
		i := start + draw(all[start:end], rand.IntN(sum+1))
		chosen := all[i]
		copy(all[start+1:i+1], all[start:i])
		all[start] = chosen
		sum -= int(chosen.Weight)
	}
}

// draw returns the index of the first record up to which the weights make n.
func draw(all []*net.SRV, n int) int {
	for i, s := range all {
		n -= int(s.Weight)
		if n <= 0 {
			return i
		}
	}
	return len(all) - 1
}
