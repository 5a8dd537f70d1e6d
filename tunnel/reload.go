package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Reload puts c in the place of the Config in force, and touches no peer that c
// does not change. What c lacks goes: peers, allowed IPs, preshared keys,
// keepalives, endpoints, DNS servers, the policy. The UDP port and the private
// key alone stay if c has none. What wg(8) had changed is taken back. Each
// change is a line in the log.
//
// Name, Mode and StateDir are of a tunnel for its life; a c with others is
// refused like one that is wrong or has an endpoint that is not found, before
// anything changes. If something fails later, what was in force is put in force
// again, and the error says so. Hooks and Setup are not run, and Logf and Resolver stay
// those of Start.
//
// ctx bounds the look-up of names alone. In ModeKernel the calling thread must
// be in the network namespace of the tunnel. After Close the error is
// net.ErrClosed.
func (t *Tunnel) Reload(ctx context.Context, c Config) error {
	t.reloading.Lock()
	defer t.reloading.Unlock()
	err := t.reload(ctx, &c)
	if err != nil {
		err = fmt.Errorf("tunnel: reload: %w", err)
		t.logf("%v", err)
		t.emit(Event{Kind: ConfigRefused, Time: time.Now(), Text: err.Error()})
	}
	return err
}

func (t *Tunnel) reload(ctx context.Context, c *Config) error {
	if err := errors.Join(t.checkReload(c), c.check()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	found, err := t.resolveAll(ctx, c, &t.now().Config, &t.given.Config)
	if err != nil {
		return err
	}
	policy, err := t.newPolicy(c)
	if err != nil {
		return err
	}
	audit, err := t.newAudit(c)
	if err != nil {
		return err
	}
	return t.put(c.clone(), found, policy, audit)
}

// checkReload refuses what a running tunnel cannot change.
func (t *Tunnel) checkReload(c *Config) error {
	var p problems
	now := t.now()
	keeps := "a running tunnel keeps its own, %q: stop it and start it anew"
	p.addIf(c.Name != now.Name, "Name %q: "+keeps, c.Name, now.Name)
	p.addIf(c.Mode != "" && c.Mode != ModeAuto && c.Mode != t.mode, "Mode %q: "+keeps, string(c.Mode), string(t.mode))
	p.addIf(c.stateDir() != now.stateDir(), "StateDir %q: "+keeps, c.stateDir(), now.stateDir())
	return errors.Join(p...)
}

// newPolicy reads the policy file of c, if it is another one.
func (t *Tunnel) newPolicy(c *Config) (loadedPolicy, error) {
	if f := c.policyFile(); f != t.given.policyFile() {
		return f.read()
	}
	return loadedPolicy{policyFile: c.policyFile()}, nil
}

// put puts c in force. found are the addresses of Endpoints that were looked up
// for it.
func (t *Tunnel) put(c Config, found endpoints, policy, audit loadedPolicy) error {
	t.changing.Lock()
	defer t.changing.Unlock()
	if t.isClosed() {
		return net.ErrClosed
	}
	old := t.now()
	c.Logf, c.Resolver, c.lookUps = old.Logf, old.Resolver, old.lookUps
	if c.PrivateKey.IsZero() {
		c.PrivateKey = old.PrivateKey
	}
	if t.mode == ModeKernel {
		if _, err := t.host.Mark((&live{Config: c}).host()); err != nil { // which refuses what cannot be
			return err
		}
	}
	next := &live{Config: c, at: t.placed(&c, found), ids: t.numbered(c.Peers, old.ids), mtu: old.mtu, dns: old.dns}
	told, takenBack := t.compare(old, next)
	steps := slices.Concat(t.wireGuardSteps(old, next), t.networkSteps(old, next), t.clampSteps(old, next), t.auditSteps(audit), t.policySteps(policy, next))
	if err := t.apply(next, steps); err != nil {
		return err
	}
	t.given = next
	t.tellReload(told, takenBack)
	t.tellChanged(old, next)
	return nil
}

// compare returns what changes from old to next, and which of it takes back what
// wg(8) had changed.
func (t *Tunnel) compare(old, next *live) (told, takenBack changes) {
	asked := t.changes(&t.given.Config, &next.Config)
	for _, c := range t.changes(&old.Config, &next.Config) {
		if slices.ContainsFunc(asked, func(a change) bool { return a.about == c.about }) {
			told = append(told, c)
		} else {
			takenBack = append(takenBack, c)
		}
	}
	return told, takenBack
}

func (t *Tunnel) tellReload(told, takenBack changes) {
	var texts []string
	for _, c := range told {
		texts = append(texts, c.text)
		t.logf("reload: %s", c.text)
	}
	for _, c := range takenBack {
		texts = append(texts, c.text)
		t.logf("reload: what wg(8) had changed is taken back: %s", c.text)
	}
	if len(texts) == 0 {
		t.logf("reload: nothing changed")
	}
	t.emit(Event{Kind: ConfigLoaded, Time: time.Now(), Text: strings.Join(texts, "; ")})
}

// placed returns where the endpoints of c are: as in force or as given before if
// that is of the same text, else as found.
func (t *Tunnel) placed(c *Config, found endpoints) endpoints {
	at := make(endpoints)
	for i := range c.Peers {
		p := &c.Peers[i]
		if p.Endpoint == "" {
			continue
		}
		at[p.PublicKey] = found[p.PublicKey]
		for _, l := range []*live{t.given, t.now()} {
			if was := l.peer(p.PublicKey); was != nil && was.Endpoint == p.Endpoint {
				at[p.PublicKey] = l.at[p.PublicKey]
			}
		}
	}
	return at
}

// resolveAll finds the addresses of the endpoints of c that none of the other
// Configs has.
func (t *Tunnel) resolveAll(ctx context.Context, c *Config, known ...*Config) (endpoints, error) {
	found := make(endpoints)
	for i := range c.Peers {
		p := &c.Peers[i]
		isKnown := slices.ContainsFunc(known, func(k *Config) bool {
			was := k.peer(p.PublicKey)
			return was != nil && was.Endpoint == p.Endpoint
		})
		if p.Endpoint == "" || isKnown {
			continue
		}
		addrs, err := t.resolveEndpoint(ctx, p.Endpoint)
		if err != nil {
			return nil, fmt.Errorf("endpoint of peer %d (%v): %w", i+1, p, err)
		}
		found[p.PublicKey] = addrs[0]
	}
	return found, nil
}
