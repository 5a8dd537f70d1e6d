package attack_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"tstun/filter"
	"tstun/packet"
)

var (
	seedFlag    = flag.Uint64("oracle.seed", 1, "seed of the traffic that the kernel judges too; 0: another one each time")
	packetsFlag = flag.Int("oracle.packets", 400_000, "packets that the kernel judges too")
)

const (
	roundLen = 700 // packets of one set of flows
	batchLen = 100 // packets on their way in the kernel at once; a TUN queues 500
)

func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -oracle.seed=%d", seed)
	return seed
}

// oracle sends the same packets through the filter and through the kernel.
type oracle struct {
	kernel *kernel
	rng    *rand.Rand
	filter *filter.Filter
	policy int
	now    int64

	compared, parted int
	uses             map[string]int // of the listed differences
}

func newOracle(t *testing.T, seed uint64) *oracle {
	o := &oracle{kernel: newKernel(t), rng: rand.New(rand.NewPCG(seed, 1)), uses: make(map[string]int)}
	o.reload(t, 0)
	// The kernel has not just started either.
	var p packet.Parsed
	o.filter.In(&p, o.now, 0)
	o.now += int64(time.Hour)
	return o
}

// oracleSpan is longer than the oracle's clock runs: the kernel goes on with
// connections from before at any time.
const oracleSpan = 24 * time.Hour

// reload puts a policy in force. The open flows live on.
func (o *oracle) reload(t *testing.T, n int) {
	t.Helper()
	var state *filter.State
	if o.filter != nil {
		state = o.filter.State()
	}
	c := policies[n].config(local, state)
	c.Limits.Pickup = oracleSpan
	f, err := filter.New(c)
	if err != nil {
		t.Fatal(err)
	}
	o.filter, o.policy = f, n
}

// ask asks the filter about s, as the Wrapper does.
func (o *oracle) ask(s *step) {
	o.now += 1000
	var p packet.Parsed
	p.Decode(s.pkt)
	var v filter.Verdict
	if s.out {
		if v = o.filter.Out(&p, o.now, 0); v.Response == filter.Accept {
			o.filter.Record(&p, o.now)
		}
	} else {
		v = o.filter.In(&p, o.now, 0)
	}
	s.ours, s.reason = v.Response == filter.Accept, v.Reason
}

// compare fails for every difference that is not listed.
func (o *oracle) compare(t *testing.T, s *step) {
	t.Helper()
	o.compared++
	k := s.talk
	agree := s.ours == s.kernel.accepted
	d := differenceOf(s)
	if why := s.unjustified(); why != "" {
		t.Errorf("let in, though %s: %v", why, s)
		s.tellPast(t)
	}
	switch {
	case k.parted != "":
		o.parted++
	case d != nil:
		o.uses[d.name]++
		if d.parts {
			k.parted = d.name
		}
	case !agree:
		t.Errorf("not listed: %v", s)
		s.tellPast(t)
		k.parted = "a difference that is not listed"
	}
	k.past = append(k.past, s)
}

// tellPast logs what was said before s.
func (s *step) tellPast(t *testing.T) {
	t.Helper()
	for _, before := range s.talk.past {
		t.Logf("  before: %v", before)
	}
}

// TestKernelAsOracle sends random packets of TCP, UDP, ICMP and ESP, valid
// and not, in both directions, through the filter and through the kernel's
// connection tracking with the same rules, and compares the verdicts. The
// rules change in between.
func TestKernelAsOracle(t *testing.T) {
	o := newOracle(t, newSeed(t))
	for round := 0; o.compared < *packetsFlag && !t.Failed(); round++ {
		talks := space(round)
		for range roundLen / batchLen {
			o.batch(t, talks)
		}
	}
	t.Logf("%d packets, %d of flows that had parted", o.compared, o.parted)
	if o.parted > o.compared/3 {
		t.Errorf("%d of %d packets were of flows that had parted: too few were compared", o.parted, o.compared)
	}
	names := make([]string, len(differences))
	for i, d := range differences {
		names[i] = d.name
	}
	o.wantUses(t, names, o.compared >= 400_000)
}

// wantUses logs how often each of the listed differences occurred. In a long
// run each has to.
func (o *oracle) wantUses(t *testing.T, names []string, long bool) {
	t.Helper()
	for _, name := range names {
		t.Logf("%6d %s", o.uses[name], name)
		if o.uses[name] == 0 && long {
			t.Errorf("the difference %q did not occur: it is gone, or the traffic does not show it", name)
		}
	}
}

func (o *oracle) batch(t *testing.T, talks []*talk) {
	t.Helper()
	steps, parcels := make([]*step, batchLen), make([]parcel, batchLen)
	for i := range steps {
		if o.rng.IntN(150) == 0 {
			o.reload(t, o.rng.IntN(len(policies)))
		}
		s := next(o.rng, talks)
		s.policy = o.policy
		tag(s.pkt, i+1, hopLimit(o.policy))
		o.ask(s)
		steps[i], parcels[i] = s, parcel{i + 1, s.out, s.pkt}
	}
	for i, opinion := range o.kernel.judge(t, parcels) {
		steps[i].kernel = opinion
		if opinion.packets > 1 {
			t.Errorf("%v came out of the kernel %d times", steps[i], opinion.packets)
		}
		o.compare(t, steps[i])
	}
}
