package up

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"tstun/tunnel"
)

// notify tells the service manager (sd_notify(3)), if there is one.
func (r *runner) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		r.log.warn(fmt.Sprintf("tell systemd: %v", err))
	}
}

// notifyReady says that the tunnel is up, and how it is.
func (r *runner) notifyReady(t *tunnel.Tunnel) {
	r.notify(daemon.SdNotifyReady + "\n" + statusLine(t.Status()))
}

// notifyReloading says that files are read again, until notifyReady.
func (r *runner) notifyReloading() {
	r.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()) // which Type=notify-reload wants
}

// statusLine is what systemctl status shows.
func statusLine(s tunnel.Status) string {
	up := 0
	for i := range s.Peers {
		if s.Peers[i].Up {
			up++
		}
	}
	line := fmt.Sprintf("STATUS=%s in %s mode, %d of %d peers up", s.Name, s.Mode, up, len(s.Peers))
	if s.Policy.Error != "" {
		line += "; the policy file is refused, the one before is in force"
	}
	return line
}

// alive is what a tunnel answers as long as it is alive: *tunnel.Tunnel.
type alive interface{ Status() tunnel.Status }

// keepAlive tells the service manager, twice in the time that it gives, that the
// tunnel is alive, until ctx ends. It tells so only when the WireGuard device
// has answered: where that hangs, nothing is told, and the manager acts.
func (r *runner) keepAlive(ctx context.Context, t alive) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		r.log.warn(fmt.Sprintf("no watchdog: %v", err))
	}
	if within == 0 {
		return
	}
	tick := time.NewTicker(within / 2)
	defer tick.Stop()
	for {
		if s := t.Status(); s.ListenPort != 0 { // which the device tells while it is up
			r.notify(daemon.SdNotifyWatchdog + "\n" + statusLine(s))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
