package hostnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// dnsRecord is what a manager of resolv.conf was told.
type dnsRecord struct {
	Manager string       `json:"manager"`
	Record  string       `json:"record"` // under which it is filed
	Servers []netip.Addr `json:"servers,omitempty"`
	Search  []string     `json:"search,omitempty"`
}

const (
	managerResolvectl = "resolvectl" // of systemd-resolved, resolvectl(1)
	managerResolvconf = "resolvconf" // of Debian or openresolv, resolvconf(8)
)

var recordForm = regexp.MustCompile(`^[a-zA-Z0-9_=+.][a-zA-Z0-9_=+.-]{0,80}$`)

// check refuses what save never writes.
func (d *dnsRecord) check() error {
	if d.Manager != managerResolvectl && d.Manager != managerResolvconf || !recordForm.MatchString(d.Record) {
		return fmt.Errorf("no DNS manager %q files %q", d.Manager, d.Record)
	}
	return nil
}

func (d *dnsRecord) equal(o *dnsRecord) bool {
	return d.Manager == o.Manager && d.Record == o.Record && slices.Equal(d.Servers, o.Servers) && slices.Equal(d.Search, o.Search)
}

// setDNS tells the first manager that takes them of the servers.
func (s *setting) setDNS() error {
	if len(s.config.DNS)+len(s.config.Search) == 0 {
		return s.clearDNS(s.index)
	}
	var failures []error
	for _, manager := range []string{managerResolvectl, managerResolvconf} {
		failure, err := s.tell(manager)
		if err != nil {
			return err
		}
		if failure == nil {
			s.checkResolvConf()
			return nil
		}
		failures = append(failures, failure)
	}
	s.warnf(WarnNoDNS, "The DNS settings are not in use: nobody takes them (%v). Install systemd-resolved or openresolv, or write them into %s.", errors.Join(failures...), resolvConf)
	return nil
}

// tell gives a manager the servers. The failure is the manager's; err is that
// the journal cannot be written.
func (s *setting) tell(manager string) (failure, err error) {
	if _, err := exec.LookPath(manager); err != nil {
		return fmt.Errorf("%s is not there", manager), nil
	}
	d := &dnsRecord{manager, recordName(manager, s.name), slices.Clone(s.config.DNS), slices.Clone(s.config.Search)}
	if s.state.DNS != nil && s.state.DNS.equal(d) {
		return nil, nil
	}
	if s.state.DNS != nil && s.state.DNS.Manager != manager {
		if err := s.clearDNS(s.index); err != nil {
			return nil, err
		}
	}
	s.state.DNS = d
	if err := s.save(); err != nil {
		return nil, err
	}
	for _, c := range d.setCommands(s.name) {
		if failure := s.run(c); failure != nil {
			s.run(d.clearCommand(s.name)) // of what was done before
			s.state.DNS = nil
			return failure, s.save()
		}
	}
	return nil, nil
}

// command is a program with its arguments and what it reads.
type command struct {
	args  []string
	stdin string
}

// setCommands return what makes the servers known and asked first: of all
// domains (~.), as wg-quick's -x does.
func (d *dnsRecord) setCommands(ifname string) []command {
	servers := stringsOf(d.Servers)
	if d.Manager == managerResolvconf {
		return []command{{[]string{managerResolvconf, "-a", d.Record, "-m", "0", "-x"}, resolvText(servers, d.Search)}}
	}
	domains, isDefault := d.Search, "no"
	if len(servers) > 0 {
		domains, isDefault = append(slices.Clone(d.Search), "~."), "yes"
	} else {
		servers = []string{""} // none
	}
	return []command{
		{args: append([]string{managerResolvectl, "dns", ifname}, servers...)},
		{args: append([]string{managerResolvectl, "domain", ifname}, domains...)},
		{args: []string{managerResolvectl, "default-route", ifname, isDefault}},
	}
}

// clearCommand returns what undoes setCommands.
func (d *dnsRecord) clearCommand(ifname string) command {
	if d.Manager == managerResolvconf {
		return command{args: []string{managerResolvconf, "-d", d.Record, "-f"}}
	}
	return command{args: []string{managerResolvectl, "revert", ifname}}
}

// clearDNS makes the manager forget. systemd-resolved forgets by itself with
// the interface, and if it cannot be reached there is nobody to forget.
func (h *host) clearDNS(index int) error {
	d := h.state.DNS
	if d == nil {
		return nil
	}
	if d.Manager == managerResolvconf || index != 0 && index == h.state.Index {
		err := h.run(d.clearCommand(h.name))
		if err != nil && d.Manager == managerResolvconf && !errors.Is(err, exec.ErrNotFound) {
			return err
		}
	}
	h.state.DNS = nil
	return h.save()
}

// runTime is how long a manager may take.
const runTime = 30 * time.Second

func (h *host) run(c command) error {
	ctx, cancel := context.WithTimeout(context.Background(), runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Stdin = strings.NewReader(c.stdin)
	cmd.WaitDelay = time.Second // for a child that holds the output open
	return h.do(func() error {
		out, err := cmd.CombinedOutput()
		if said := bytes.TrimSpace(out); err != nil && len(said) > 0 {
			return fmt.Errorf("%w: %s", err, said)
		}
		return err
	}, "run %s", strings.Join(c.args, " "))
}

func stringsOf[T fmt.Stringer](values []T) (all []string) {
	for _, v := range values {
		all = append(all, v.String())
	}
	return all
}

// resolvText is in the form of resolv.conf(5).
func resolvText(servers, search []string) string {
	var b strings.Builder
	for _, server := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	return b.String()
}

// orderFile is where Debian's resolvconf has the order of its records.
const orderFile = "/etc/resolvconf/interface-order"

var orderPattern = regexp.MustCompile(`(?m)^([A-Za-z0-9-]+)\*$`)

// recordName returns the name under which a manager files the servers.
// Debian's resolvconf orders records by the beginnings of their names, of
// which the first pattern in its list comes before all network cards, as
// wg-quick knows.
func recordName(manager, ifname string) string {
	if manager == managerResolvconf {
		text, _ := os.ReadFile(orderFile)
		if m := orderPattern.FindSubmatch(text); m != nil {
			return string(m[1]) + "." + ifname
		}
	}
	return ifname
}

// resolvConf is what the resolvers of programs read, resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// checkResolvConf warns if programs ask others than the tunnel's servers.
// Debian's resolvconf ignores -x without a word.
func (s *setting) checkResolvConf() {
	text, err := os.ReadFile(resolvConf)
	ours, others := sortServers(string(text), s.config.DNS)
	switch {
	case len(s.config.DNS) == 0:
	case err != nil || !ours:
		s.warnf(WarnOtherDNS, "%s took the DNS servers, but %s does not name them, so that programs ask others. Have it link to what %s writes.", s.state.DNS.Manager, resolvConf, s.state.DNS.Manager)
	case len(others) > 0:
		s.warnf(WarnOtherDNS, "%s still names %s beside the tunnel's DNS servers, so that names may be asked outside of the tunnel. Install openresolv in place of resolvconf, or take them out.", resolvConf, strings.Join(others, ", "))
	}
}

// sortServers reports whether a resolv.conf names one of the servers or a
// resolver on this host, which asks them, and what others it names.
func sortServers(text string, servers []netip.Addr) (ours bool, others []string) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && (a.IsLoopback() || slices.Contains(servers, a)) {
			ours = true
		} else {
			others = append(others, fields[1])
		}
	}
	return ours, others
}
