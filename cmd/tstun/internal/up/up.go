// Package up runs a tunnel and what serves beside it, from start to end.
package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/tunnel"
)

// undoWithin bounds how long all may take to be undone after a signal, hooks and
// DNS included. It is below the 90 s after which systemd kills.
const undoWithin = time.Minute

// runner is one run of up.
type runner struct {
	env     ui.Environment
	options Options
	log     log
	hangups chan os.Signal
	reloads chan chan error // of clients, who wait for an answer
}

// Run runs a tunnel until ctx or the tunnel ends, and undoes it. SIGHUP has the
// files read again. No core is written of the process from then on.
func Run(ctx context.Context, env ui.Environment, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	if err := withholdMemory(); err != nil { // before a key is read
		return ui.Failf("", "keep keys out of core dumps: %w", err)
	}
	r := &runner{env: env, options: o, log: newLog(env, o), hangups: make(chan os.Signal, 1), reloads: make(chan chan error)}
	signal.Notify(r.hangups, syscall.SIGHUP)
	defer signal.Stop(r.hangups)
	credentials, err := readCredentials(o.Credentials)
	if err != nil {
		return err
	}
	config, err := r.read()
	if err != nil {
		return err
	}
	c, err := r.openControl(config.Name)
	if err != nil {
		return err
	}
	s, err := openServers(&r.options, credentials, r.log)
	if err == nil {
		ctx, cancel := untilDown(ctx, c)
		defer cancel()
		err = r.run(ctx, *config, s, c)
	}
	r.closeControl(c, err)
	return err
}

// run starts the tunnel, runs it to its end and undoes it.
func (r *runner) run(ctx context.Context, config tunnel.Config, s *servers, c *control.Server) error {
	defer s.close()
	r.env.Takedown.Expect(undoWithin, func() error {
		return ui.Failf("sudo tstun down "+config.Name+" undoes it",
			"ended before all was undone: addresses, routes, rules or DNS of %s may be left", config.Name)
	})
	t, err := tunnel.Start(ctx, config)
	if err != nil && wasObeyed(ctx, err) {
		return nil
	} else if err != nil {
		return startFailure(err, &config)
	}
	if t.Status().Mode == tunnel.ModeUserspace {
		r.env.Takedown.Expect(undoWithin, nil) // nothing outlasts the process
	}
	err = r.serve(ctx, config, t, s, c)
	r.log.Info("tunnel " + config.Name + " ends: what it did is undone")
	r.notify(daemon.SdNotifyStopping + "\nSTATUS=undoing " + config.Name)
	if closeErr := t.Close(); closeErr != nil {
		return ui.Failf("sudo tstun down "+config.Name+" tries again", "%w", clean(errors.Join(err, closeErr)))
	}
	return err
}

// serve runs what the command line asks for beside the tunnel until ctx, the
// tunnel or a server ends. The error is nil in the first case.
func (r *runner) serve(ctx context.Context, config tunnel.Config, t *tunnel.Tunnel, s *servers, c *control.Server) error {
	inner, cancel := context.WithCancel(ctx)
	defer s.close()
	defer cancel()
	n := through{t, inner}
	if err := s.openExposed(n, r.options.Expose); err != nil {
		return err
	}
	history, stop, err := r.keepPackets(t)
	if err != nil {
		return err
	}
	defer stop()
	s.serve(inner, n)
	r.serveControl(c, n, history)
	if err := r.confine(config, t, s, c); err != nil {
		return err
	}
	status := t.Status()
	path, _ := configPath(r.options.File)
	r.tellUp(status, path, s)
	if status.Mode == tunnel.ModeUserspace && len(s.opened) == len(r.options.Metrics) {
		r.log.warn("no program can use this tunnel: --socks5, --http-proxy, --forward and --expose let some")
	}
	ready := make(chan struct{})
	s.running.Go(func() {
		if r.awaitReady(inner, t) {
			close(ready)
		}
	})
	s.running.Go(func() { r.keepAlive(inner, t) })
	s.running.Go(func() { r.logPeers(t.Events(inner)) })
	ended := make(chan error, 1)
	go func() { ended <- t.Wait() }() // ends with the tunnel
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return ui.Failf("start it again", "the interface %s is gone: it was deleted, or its device closed, by another program", status.Name)
		case err := <-s.failed:
			return ui.Failf("", "%w", err)
		case <-ready:
			ready = nil
			r.notifyReady(t)
		case <-r.hangups:
			if r.env.HungUp() { // the terminal is gone, which no reload is meant by
				return nil
			}
			_ = r.reload(inner, t, ready == nil) // it is logged
		case done := <-r.reloads:
			done <- r.reload(inner, t, ready == nil)
		}
	}
}

// reload reads the files again. What is wrong with them is logged, and what was
// in force stays.
func (r *runner) reload(ctx context.Context, t *tunnel.Tunnel, ready bool) error {
	r.notifyReloading()
	r.log.Info("the files are read again")
	config, err := r.read()
	if err != nil {
		r.log.Error(fmt.Sprintf("reload refused, what was in force stays: %v", err), "hint", ui.Hint(err))
	} else if err = t.Reload(ctx, *config); err == nil {
		err = rereadPolicies(t, config)
	}
	if ready {
		r.notifyReady(t)
	}
	return err
}

// rereadPolicies reads the policy files of a Config that is in force, if there are some.
// The tunnel logs what comes of it.
func rereadPolicies(t *tunnel.Tunnel, c *tunnel.Config) (err error) {
	if c.Policy != "" {
		err = t.ReloadPolicy()
	}
	if c.Audit != "" {
		err = errors.Join(err, t.ReloadAudit())
	}
	return err
}
