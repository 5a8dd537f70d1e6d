package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"tstun"
	"tstun/bind"
	"tstun/netstack"
	"tstun/tundev"
	"tstun/tunnel/internal/hostnet"
)

// openDevice chooses the mode and makes the Wrapper on the device of that mode.
func (t *Tunnel) openDevice(context.Context) error {
	dev, err := t.choose()
	if err != nil {
		return err
	}
	t.wrapper = &witness{Wrapper: tstun.Wrap(t.logf, dev)}
	t.atClose("close the device", t.wrapper.Close)
	if t.host != nil {
		t.atClose("let go of the interface", t.host.Close)
	}
	t.wrapper.SetReject(rejects[t.now().Reject])
	if setup := t.now().Setup; setup != nil {
		if err := setup(t.wrapper.Wrapper); err != nil {
			return err
		}
	}
	if err := t.firstPolicy(); err != nil {
		return err
	}
	t.openRecords()
	if err := t.firstAudit(); err != nil {
		return err
	}
	t.update(func(l *live) { l.ids = t.numbered(l.Peers, nil) })
	if err := t.setPeers(t.now()); err != nil {
		return err
	}
	if t.mode == ModeUserspace {
		return t.openStack()
	}
	return nil
}

// firstPolicy sets the filter that the tunnel starts with, if Setup has not.
func (t *Tunnel) firstPolicy() error {
	file := t.now().policyFile()
	if file.name == "" && t.wrapper.GetFilter() != nil {
		return nil
	}
	l, err := file.read()
	if err != nil {
		return err
	}
	t.policyMu.Lock()
	defer t.policyMu.Unlock()
	return t.setPolicyLocked(l, t.now().Addresses, PolicyChange{Kind: PolicyChangeLoaded})
}

// choose returns a device of the mode that is asked for.
func (t *Tunnel) choose() (tun.Device, error) {
	switch t.now().Mode {
	case ModeUserspace:
		return t.userspace("it was asked for"), nil
	case ModeKernel:
		return t.kernel("it was asked for")
	}
	if why := obstacle(t.now().Name); why != "" {
		return t.userspace(why), nil
	}
	dev, err := t.kernel("nothing stands in the way of a TUN device")
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		return t.userspace(err.Error()), nil
	}
	return dev, err
}

// obstacle returns what keeps the system from making a TUN device of any name,
// or nothing. A name that is taken is an error to be told of.
func obstacle(name string) string {
	for _, f := range tundev.Diagnose(name, nil) {
		if !strings.Contains(f.Code, "name") && f.Code != "persistent-link" && f.Code != "already-configured" {
			return fmt.Sprintf("%s (%s)", strings.TrimSuffix(f.Cause, "."), f.Code)
		}
	}
	return ""
}

func (t *Tunnel) userspace(reason string) tun.Device {
	t.mode, t.reason = ModeUserspace, reason
	return tstun.NewFake()
}

// kernel takes charge of the interface and makes it.
func (t *Tunnel) kernel(reason string) (tun.Device, error) {
	name := t.now().Name
	host, err := hostnet.New(name, t.now().stateDir(), t.logf)
	if err != nil {
		return nil, err
	}
	dev, _, err := tundev.Create(t.logf, name, tstun.DefaultMTU)
	if err != nil {
		for _, f := range tundev.Diagnose(name, err) {
			err = fmt.Errorf("%w: %s %s", err, f.Cause, f.Advice)
			break
		}
		return nil, errors.Join(err, host.Close())
	}
	t.mode, t.reason, t.host = ModeKernel, reason, host
	t.outside = t.newOutside()
	return dev, nil
}

// openStack makes the network stack of a tunnel in userspace.
func (t *Tunnel) openStack() (err error) {
	c := netstack.Config{MTU: t.now().MTU, Addrs: t.now().addrs()}
	if t.stack, err = netstack.New(t.wrapper.Wrapper, c); err != nil {
		return err
	}
	t.atClose("close the network stack", t.stack.Close)
	return nil
}

// openWireGuard makes the WireGuard device, which is not up yet.
func (t *Tunnel) openWireGuard(context.Context) error {
	t.wg = device.NewDevice(t.wrapper, bind.New(), &device.Logger{Verbosef: t.heard.note, Errorf: t.logf})
	t.atClose("close WireGuard", func() error { t.wg.Close(); return nil })
	var to lines
	l := t.now()
	to.setKey("private_key", l.PrivateKey.Raw32())
	to.set("listen_port", l.ListenPort)
	to.change(new(live), l)
	if err := t.wg.IpcSet(to.String()); err != nil {
		return fmt.Errorf("configure WireGuard: %w", err)
	}
	return nil
}

// up opens the UDP sockets, with the mark that routing needs.
func (t *Tunnel) up(context.Context) error {
	l := t.now()
	if t.host != nil {
		t.atClose("restore the host's network", t.host.Close) // while the interface is there
		if _, err := t.host.Mark(l.host()); err != nil {
			return err
		}
	}
	if err := t.wg.Up(); err != nil {
		return fmt.Errorf("listen on UDP port %d: %w", l.ListenPort, err)
	}
	if t.host != nil {
		return t.raiseMark(l)
	}
	return t.setMark(l.FwMark)
}

// setUp gives the interface its place in the host's network. What is in force
// then is what was given.
func (t *Tunnel) setUp(context.Context) (err error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	l := *t.now()
	if t.host != nil {
		err = t.setHost(&l)
	} else {
		err = t.setStack(&live{}, &l)
	}
	if err == nil {
		err = t.setMSSClamps(&l)
	}
	l.ListenPort = t.port() // which given may leave to the system
	t.live.Store(&l)
	return err
}
