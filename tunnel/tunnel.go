package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"

	"tstun/flowlog"
	"tstun/logger"
	"tstun/netstack"
	"tstun/policy"
	"tstun/tunnel/internal/hostnet"
)

// Tunnel is a tunnel that runs. All methods may be called from any goroutine at
// any time, and in ModeKernel from a thread in the network namespace that Start
// was called in. The zero value is not valid; Start makes one.
type Tunnel struct {
	logf    logger.Logf
	live    atomic.Pointer[live]
	hosts   atomic.Pointer[map[netip.Addr]string] // the policy's; nil: none
	events  eventLog
	heard   heard
	sinks   sinks
	audit   audit
	traffic trafficLog

	// What Start's steps make, and nothing changes after it.
	started  time.Time
	mode     Mode
	reason   string        // for the mode
	host     *hostnet.Host // nil in userspace
	outside  *outside      // nil: the host's resolver
	wrapper  *witness
	records  *flowlog.Log // nil: none are kept
	wg       *device.Device
	stack    *netstack.Stack // nil in kernel mode
	warnings []string
	wasUp    bool // the PostUp hooks ran

	life    context.Context // ends when Close was called
	endLife context.CancelFunc
	undone  chan struct{} // closed when Close has tried to undo all

	explaining sync.Mutex // held while Explain has a snapshot of all flows

	reloading sync.Mutex // held while Reload looks up names and changes the tunnel

	changing   sync.Mutex // guards what is below, and held while live or the device changes
	given      *live      // what Start and Reload put in force, which wg(8) may have changed
	lastID     uint64     // of the peers' IDs
	watch      *policyWatch
	auditWatch *policyWatch

	policyMu      sync.Mutex // guards what is below, and held while a policy comes into force
	policyFile    policyFile
	policy        *policy.Policy
	policyText    PolicyText
	trial         *policyTrial // nil: none
	trialsEnded   bool         // no other begins
	policyStatus  PolicyStatus
	policyHistory PolicyHistory
	policyAttempt string // what the file was when it was last read

	mu   sync.Mutex // guards undo, and held while Close undoes
	undo []undoing  // in the order of what was done
}

// undoing undoes a step.
type undoing struct {
	what string
	do   func() error
}

// Start starts a tunnel and returns when packets can flow, and in the Config's
// Required peers a handshake was had. ctx bounds the starting alone. If it ends
// or a step fails, all that was done is undone.
//
// In ModeKernel the calling thread must be in the network namespace that the
// tunnel is for. Start keeps nothing of c that can be changed, and shows no
// secret in its errors and log lines.
func Start(ctx context.Context, c Config) (*Tunnel, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("tunnel: %w", err)
	}
	t := &Tunnel{logf: c.Logf, started: time.Now(), undone: make(chan struct{})}
	if t.logf == nil {
		t.logf = logger.Discard
	}
	t.life, t.endLife = context.WithCancel(context.Background())
	t.traffic.at = t.started
	t.live.Store(&live{Config: c.clone()})
	t.atClose("end the events", t.events.end)
	if err := t.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("tunnel: start: %w", err), t.Close())
	}
	return t, nil
}

func (t *Tunnel) start(ctx context.Context) error {
	steps := []func(context.Context) error{t.preUp, t.resolve, t.openDevice, t.openWireGuard, t.up, t.setUp, t.listenControl, t.watchPolicy, t.watchAudit, t.observe, t.postUp, t.awaitRequired}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
	}
	t.logf("tunnel %s is up in %s mode, since %s", t.now().Name, t.mode, t.reason)
	return nil
}

// warn tells what the tunnel goes without.
func (t *Tunnel) warn(text string) {
	t.warnings = append(t.warnings, text)
	t.logf("warning: %s", text)
}

// atClose has Close call do before what was done earlier is undone.
func (t *Tunnel) atClose(what string, do func() error) {
	t.undo = append(t.undo, undoing{what, do})
}

// Close ends the tunnel and undoes, in reverse, all that Start did. It may be
// called any number of times, from several goroutines, too. What cannot be
// undone does not keep it from the rest; it is in the error, and another Close
// tries it again.
func (t *Tunnel) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.isClosed() {
		t.end()
		defer close(t.undone)
	}
	var left []undoing
	var errs []error
	for _, u := range slices.Backward(t.undo) {
		if err := u.do(); err != nil {
			left, errs = append(left, u), append(errs, fmt.Errorf("tunnel: %s: %w", u.what, err))
		}
	}
	slices.Reverse(left)
	t.undo = left
	return errors.Join(errs...)
}

// end lets what changes the tunnel end, and nothing more begin.
func (t *Tunnel) end() {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.endLife()
}

func (t *Tunnel) isClosed() bool { return t.life.Err() != nil }

// ErrEnded is that a tunnel ended without Close: its interface was deleted.
var ErrEnded = errors.New("tunnel: the device was closed or its interface deleted")

// Wait waits until the tunnel ends. It returns nil after Close, and ErrEnded if
// the tunnel ended otherwise; Close is still to be called then.
func (t *Tunnel) Wait() error {
	select {
	case <-t.life.Done():
	case <-t.wg.Wait():
		if !t.isClosed() {
			return ErrEnded
		}
	}
	<-t.undone
	return nil
}
