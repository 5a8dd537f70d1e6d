package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// The guard of a full tunnel is one table of nftables. It drops what comes to
// the tunnel's addresses from elsewhere, which could otherwise tell a neighbour
// what goes through the tunnel (CVE-2019-14899), and keeps the mark of the
// tunnel's packets in conntrack, so that replies bear it when rp_filter looks.
type guardRule struct {
	chain   string
	comment string // says what it does, and is its identity
	exprs   []expr.Any
}

// guardChains are the table's chains, which name their hook and priority.
func guardChains(t *nftables.Table) map[string]*nftables.Chain {
	chain := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return &nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority}
	}
	return map[string]*nftables.Chain{
		"strays":  chain("strays", nftables.ChainHookPrerouting, nftables.ChainPriorityRaw),
		"restore": chain("restore", nftables.ChainHookPrerouting, nftables.ChainPriorityMangle),
		"save":    chain("save", nftables.ChainHookPostrouting, nftables.ChainPriorityMangle),
	}
}

// guardTable returns the interface's table.
func (h *host) guardTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: "tstun-" + h.name}
}

// guardRules returns the rules that shall be.
func (s *setting) guardRules() (rules []guardRule) {
	if len(s.layout.marked) == 0 {
		return nil
	}
	for _, a := range s.config.Addresses {
		if a := a.Addr(); s.layout.isFull(a.Is6()) {
			rules = append(rules, guardRule{"strays", fmt.Sprintf("drop strays to %s", a), dropStrays(s.name, a)})
		}
	}
	return append(rules,
		guardRule{"restore", "restore the mark of replies", slices.Concat(isUDP(), restoreMark())},
		guardRule{"save", fmt.Sprintf("keep mark %d", s.markUsed), slices.Concat(isUDP(), saveMark(s.markUsed))},
	)
}

// dropStrays is: iifname != NAME ip daddr ADDRESS fib saddr type != local drop.
func dropStrays(name string, a netip.Addr) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	proto, offset := byte(unix.NFPROTO_IPV4), uint32(16) // RFC 791 §3.1
	if a.Is6() {
		proto, offset = unix.NFPROTO_IPV6, 24 // RFC 8200 §3
	}
	local := make([]byte, 4)
	binary.NativeEndian.PutUint32(local, unix.RTN_LOCAL)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: padded},
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(a.BitLen() / 8)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
		&expr.Fib{Register: 1, FlagSADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: local},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// isUDP is: meta l4proto udp.
func isUDP() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
	}
}

// restoreMark is: meta mark set ct mark.
func restoreMark() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeyMARK, Register: 1},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
	}
}

// saveMark is: meta mark MARK ct mark set meta mark.
func saveMark(mark uint32) []expr.Any {
	data := make([]byte, 4)
	binary.NativeEndian.PutUint32(data, mark)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data},
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: 1},
	}
}

// setGuard replaces the table, in one transaction, if its rules are not those
// that shall be.
func (s *setting) setGuard() error {
	want := s.guardRules()
	if len(want) == 0 {
		return nil
	}
	have, err := s.guardComments()
	if err != nil || slices.Equal(have, comments(want)) {
		return err
	}
	return s.do(func() error { return s.replaceGuard(want) }, "set nftables table %s", s.guardTable().Name)
}

func comments(rules []guardRule) (all []string) {
	for _, r := range rules {
		all = append(all, r.comment)
	}
	slices.Sort(all)
	return all
}

func (h *host) replaceGuard(rules []guardRule) error {
	c, t := &nftables.Conn{}, h.guardTable()
	c.AddTable(t) // for the next line to have one
	c.DelTable(t)
	c.AddTable(t)
	chains := guardChains(t)
	for _, name := range slices.Sorted(maps.Keys(chains)) {
		c.AddChain(chains[name])
	}
	for _, r := range rules {
		c.AddRule(&nftables.Rule{
			Table: t, Chain: chains[r.chain], Exprs: r.exprs,
			UserData: userdata.AppendString(nil, userdata.TypeComment, r.comment),
		})
	}
	err := c.Flush()
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: a full tunnel needs nf_tables with fib and conntrack in the kernel: load nf_tables, nft_fib_inet and nft_ct, or set Table to a number and make rules of your own", err)
	}
	return err
}

// guardComments returns the comments of the table's rules, or none if there is
// no table.
func (h *host) guardComments() (all []string, err error) {
	there, err := h.hasGuard()
	if err != nil || !there {
		return nil, err
	}
	c, t := &nftables.Conn{}, h.guardTable()
	for _, chain := range guardChains(t) {
		rules, err := c.GetRules(t, chain)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("list nftables rules of %s: %w", t.Name, err)
		}
		for _, r := range rules {
			comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			all = append(all, comment)
		}
	}
	slices.Sort(all)
	return all, nil
}

// hasGuard reports whether the table is there. A kernel without nf_tables has
// none.
func (h *host) hasGuard() (bool, error) {
	tables, err := (&nftables.Conn{}).ListTablesOfFamily(nftables.TableFamilyINet)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list nftables tables: %w", advised(err))
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == h.guardTable().Name }), nil
}

func (h *host) removeGuard() error {
	there, err := h.hasGuard()
	if err != nil || !there {
		return err
	}
	c, t := &nftables.Conn{}, h.guardTable()
	c.DelTable(t)
	return h.do(c.Flush, "remove nftables table %s", t.Name)
}

// removeUnused removes what no full tunnel needs any more.
func (s *setting) removeUnused() error {
	var errs []error
	if len(s.layout.marked) == 0 {
		errs = append(errs, s.removeGuard())
	}
	if !s.layout.isFull(false) {
		errs = append(errs, s.restoreSrcValidMark())
	}
	return errors.Join(errs...)
}
