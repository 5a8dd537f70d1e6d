//go:build !android

package tundev_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tstun/tundev"
)

// What a probe is told, by environment: the test binary runs itself.
const (
	probeOut  = "TSTUN_PROBE_OUT"  // where the results go; unset: this is no probe
	probeName = "TSTUN_PROBE_NAME" // of the interface
	probeHold = "TSTUN_PROBE_HOLD" // write a line there once it is made, and keep it
	probeFill = "TSTUN_PROBE_FILL" // try with 0, 1, 2, … descriptors left
)

// attempt is what a probe met.
type attempt struct {
	Error    string
	Findings []tundev.Finding
}

// TestProbe is one run of Create in circumstances that TestAdviceLeadsToSuccess
// has made.
func TestProbe(t *testing.T) {
	out := os.Getenv(probeOut)
	if out == "" {
		return
	}
	var all []attempt
	if os.Getenv(probeFill) != "" {
		all = probeFilled(t)
	} else {
		all = append(all, probeOnce(t))
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = os.WriteFile(out, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func probeOnce(t *testing.T) attempt {
	name := os.Getenv(probeName)
	dev, _, err := tundev.Create(nil, name, 1280)
	if err != nil {
		return attempt{err.Error(), tundev.DiagnoseHere(name, err)}
	}
	defer dev.Close()
	if ready := os.Getenv(probeHold); ready != "" {
		if err := os.WriteFile(ready, []byte("held\n"), 0); err != nil {
			t.Fatal(err)
		}
		<-t.Context().Done() // until it is killed
	}
	return attempt{}
}

// probeFilled takes all descriptors but k, for each k until a device is made.
func probeFilled(t *testing.T) (all []attempt) {
	var taken []int
	defer func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
	}()
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	for range 20 {
		a := probeOnce(t)
		all = append(all, a)
		if a.Error == "" || len(taken) == 0 {
			break
		}
		unix.Close(taken[len(taken)-1])
		taken = taken[:len(taken)-1]
	}
	return all
}

const (
	nobody   = "setpriv --reuid=65534 --regid=65534 --clear-groups "
	freshDev = "mount -t tmpfs none /dev/net; "
	openNode = freshDev + "mknod /dev/net/tun c 10 200; chmod 666 /dev/net/tun; "
	ownNode  = freshDev + "mknod /dev/net/tun c 10 200; chmod 600 /dev/net/tun; "
	mkNode   = "mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun"
	setcap   = "setcap cap_net_admin+ep $TEST"
	unshared = "unshare --user --map-root-user --net "
	hold     = `mkfifo $D/ready; TSTUN_PROBE_OUT=$D/held TSTUN_PROBE_NAME=adv0 TSTUN_PROBE_HOLD=$D/ready $TEST -test.run '^TestProbe$' -test.timeout 50s >/dev/null 2>&1 & H=$!; trap 'kill $H 2>/dev/null || true' EXIT; read x <$D/ready; `
)

// TestAdviceLeadsToSuccess makes real failures, each in namespaces of its own,
// does as it is told, and tries again.
func TestAdviceLeadsToSuccess(t *testing.T) {
	tests := []struct {
		name   string
		setup  string
		as     string // before the probe's command
		ifname string // adv0 unless given
		want   string // codes
		// do is what is done, in this order, each a part of the first advice.
		do []string
		// says is another part of the advice, which what is below does.
		says       string
		as2        string // as unless given
		ifname2    string // ifname unless given
		mustNotSay string
	}{
		{name: "no node", setup: freshDev, want: "no-device-node", do: []string{mkNode}},
		{name: "no node, ordinary user", setup: freshDev, as: nobody, want: "no-device-node", do: []string{mkNode, setcap}},
		{name: "no node, read-only", setup: freshDev + "mount -o remount,ro /dev/net; ", want: "no-device-node",
			do: []string{"mount -o remount,rw /dev/net && " + mkNode}},
		{name: "no node, no devices", setup: freshDev + "mount -o remount,nodev /dev/net; ", want: "no-device-node",
			do: []string{"mount -o remount,dev /dev/net && " + mkNode}},
		{name: "no node, user namespace", setup: freshDev, as: "unshare --user --map-root-user ", want: "no-device-node",
			do: []string{mkNode}, says: unshared + "PROGRAM", as2: unshared},
		{name: "a file in its place", setup: freshDev + "echo x >/dev/net/tun; ", want: "wrong-device-node",
			do: []string{"rm -rf /dev/net/tun && " + mkNode}},
		{name: "a directory in its place", setup: freshDev + "mkdir -p /dev/net/tun/x; ", want: "wrong-device-node",
			do: []string{"rm -rf /dev/net/tun && " + mkNode}},
		{name: "another device in its place", setup: freshDev + "mknod /dev/net/tun c 1 3; chmod 666 /dev/net/tun; ", as: nobody,
			want: "wrong-device-node", do: []string{"rm -rf /dev/net/tun && " + mkNode, setcap}},
		{name: "node mode", setup: ownNode, as: nobody, want: "node-mode", do: []string{"chmod 666 /dev/net/tun", setcap}},
		{name: "node mode, read-only", setup: ownNode + "mount -o remount,ro /dev/net; ", as: nobody, want: "node-mode",
			do: []string{"mount -o remount,rw /dev/net && chmod 666 /dev/net/tun", setcap}},
		{name: "nodev", setup: ownNode + "mount -o remount,nodev /dev/net; ", want: "node-nodev",
			do: []string{"mount -o remount,dev /dev/net && chmod 666 /dev/net/tun"}},
		{name: "nodev, ordinary user", setup: ownNode + "mount -o remount,nodev /dev/net; ", as: nobody, want: "node-nodev",
			do: []string{"mount -o remount,dev /dev/net && chmod 666 /dev/net/tun", setcap}},
		{name: "directory", setup: ownNode + "chmod 700 /dev/net; ", as: nobody, want: "node-directory",
			do: []string{"chmod a+rx /dev /dev/net && chmod 666 /dev/net/tun", setcap}},

		{name: "ordinary user", setup: openNode, as: nobody, want: "no-net-admin", do: []string{setcap}},
		{name: "no new privileges", setup: openNode, as: nobody + "--no-new-privs ", want: "no-net-admin",
			do: []string{"ip tuntap add dev adv0 mode tun user 65534"}},
		{name: "bounding set", setup: openNode, as: "setpriv --bounding-set=-net_admin --inh-caps=-net_admin ", want: "no-net-admin",
			do: []string{"ip tuntap add dev adv0 mode tun user 0"}},
		{name: "nosuid", setup: openNode + "mkdir $D/n; mount -t tmpfs -o nosuid none $D/n; cp $TEST $D/n/test; TEST=$D/n/test; ", as: nobody,
			want: "no-net-admin", do: []string{"ip tuntap add dev adv0 mode tun user 65534"}},
		{name: "another user's interface", setup: openNode + "ip tuntap add dev adv0 mode tun user 1234; ", as: nobody,
			want: "no-net-admin", do: []string{setcap}},
		{name: "user namespace without rights", setup: openNode, as: nobody + "unshare --user ", want: "no-net-admin",
			says: unshared + "PROGRAM", as2: nobody + unshared},
		{name: "user namespace", setup: openNode, as: "unshare --user --map-root-user ", want: "foreign-network-namespace",
			says: unshared + "PROGRAM", as2: unshared},
		{name: "user namespace, ordinary user", setup: openNode, as: nobody + "unshare --user --map-root-user ", want: "foreign-network-namespace",
			says: unshared + "PROGRAM", as2: nobody + unshared},
		{name: "user namespace within", setup: openNode, as: "unshare --user --map-root-user ", want: "foreign-network-namespace",
			says: unshared + "PROGRAM", as2: "unshare --user --map-root-user " + unshared},
		{name: "uid mapping", setup: ownNode, as: nobody + "unshare --user --map-root-user ", want: "unprivileged-container",
			do: []string{"chmod 666 /dev/net/tun"}, says: unshared + "PROGRAM", as2: nobody + unshared},

		{name: "held", setup: openNode + hold, want: "name-held", do: []string{"kill $H"}},
		{name: "held, another name", setup: openNode + hold, want: "name-held", says: "use another name", ifname2: "adv1"},
		{name: "held and persistent", setup: openNode + "ip tuntap add dev adv0 mode tun; " + hold, want: "name-held persistent-link",
			do: []string{"kill $H"}},
		{name: "held out of sight", setup: openNode + hold + "mount -t proc -o hidepid=2 none /proc; ",
			as: nobody + "--inh-caps=+net_admin --ambient-caps=+net_admin ", want: "name-busy", says: "use another name", ifname2: "adv1"},
		{name: "persistent, held out of sight", setup: openNode + "ip tuntap add dev adv0 mode tun; " + hold + "mount -t proc -o hidepid=2 none /proc; ",
			as: nobody + "--inh-caps=+net_admin --ambient-caps=+net_admin ", want: "persistent-link", do: []string{"ip link delete adv0"}},
		{name: "a TAP", setup: openNode + "ip tuntap add dev adv0 mode tap; ", want: "name-taken", do: []string{"ip link delete adv0"}},
		{name: "several queues", setup: openNode + "ip tuntap add dev adv0 mode tun multi_queue; ", want: "name-taken",
			do: []string{"ip link delete adv0"}},
		{name: "loopback", setup: openNode, ifname: "lo", want: "name-taken", says: "use another name", mustNotSay: "delete", ifname2: "adv0"},
		{name: "long name", setup: openNode, ifname: "a-name-of-16-chars", want: "bad-name", says: `"tun0"`, ifname2: "tun0"},
		{name: "bad name", setup: openNode, ifname: "a/b", want: "bad-name", says: `"tun0"`, ifname2: "tun0"},
		{name: "bad pattern", setup: openNode, ifname: "tun%s", want: "bad-name", says: `"tun0"`, ifname2: "tun0"},
		{name: "name of all", setup: openNode, ifname: "all", want: "bad-name", says: `"tun0"`, ifname2: "tun0"},
		{name: "name of the defaults", setup: openNode, ifname: "default", want: "bad-name", says: `"tun0"`, ifname2: "tun0"},
	}
	r := newProber(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.ifname2, tt.as2 = or(tt.ifname2, or(tt.ifname, "adv0")), or(tt.as2, tt.as)
			tt.ifname = or(tt.ifname, "adv0")
			do := strings.Join(tt.do, "; ")
			if strings.Contains(do, "kill") {
				do += "; { wait $H || true; } 2>/dev/null"
			}
			run := r.run(t, tt.setup+"\n"+`AS="`+tt.as+`" probe first `+quote(tt.ifname)+"\n"+do+"\n"+`AS="`+tt.as2+`" probe second `+quote(tt.ifname2))
			first, second := run.attempts(t, "first")[0], run.attempts(t, "second")[0]
			if first.Error == "" {
				t.Fatal("it went well before anything was done")
			}
			check(t, first.Findings, tt.want, tt.says, first.Error)
			advice := first.Findings[0].Advice
			rest := advice
			for _, command := range tt.do {
				command = run.expand(t, command)
				_, after, said := strings.Cut(rest, command)
				if !said {
					t.Errorf("advice %q does not say %q, or not in this order", advice, command)
				}
				rest = after
			}
			if tt.mustNotSay != "" && strings.Contains(advice, tt.mustNotSay) {
				t.Errorf("advice %q", advice)
			}
			if second.Error != "" {
				t.Errorf("did as told by %q, and then: %s", advice, second.Error)
			}
			wantFacts(t, first.Findings[0].Evidence)
		})
	}
}

// wantFacts checks that evidence says what the system is like.
func wantFacts(t *testing.T, evidence string) {
	t.Helper()
	for _, fact := range []string{"; linux ", "; node", "; driver there", "CapEff ", "; network net:[", "user user:[", "; cgroup "} {
		if !strings.Contains(evidence, fact) {
			t.Errorf("evidence %q lacks %q", evidence, fact)
		}
	}
}

// TestAdviceOnDescriptors runs out of descriptors at every step of Create.
func TestAdviceOnDescriptors(t *testing.T) {
	run := newProber(t).run(t, openNode+`
		(ulimit -n 64; TSTUN_PROBE_FILL=1 probe first adv0)
		probe second adv0`)
	failed := 0
	for left, a := range run.attempts(t, "first") {
		if a.Error == "" {
			continue
		}
		failed++
		if len(a.Findings) != 1 || a.Findings[0].Code != "descriptor-limit" || !strings.Contains(a.Findings[0].Advice, "ulimit -n") ||
			!strings.Contains(a.Findings[0].Evidence, "the limit is 64") {
			t.Errorf("%d descriptors left: %s: %v", left, a.Error, a.Findings)
		}
	}
	if failed < 2 {
		t.Errorf("%d attempts failed: the limit is no test", failed)
	}
	if a := run.attempts(t, "second")[0]; a.Error != "" {
		t.Errorf("with a higher limit: %s", a.Error)
	}
}

// TestAdviceOnTheDeviceCgroup: where there is one of version 1, whose list can be
// changed without a program.
func TestAdviceOnTheDeviceCgroup(t *testing.T) {
	r := newProber(t)
	const top = "/sys/fs/cgroup/devices"
	if err := os.Mkdir(top+"/tstun-probe", 0o755); err != nil {
		t.Logf("no device cgroup of version 1: %v", err)
		return
	}
	defer func() {
		if err := os.Remove(top + "/tstun-probe"); err != nil {
			t.Error(err)
		}
	}()
	const allow = "echo 'c 10:200 rwm' > " + top + "/tstun-probe/devices.allow"
	run := r.run(t, openNode+`
		echo 'c 10:200 rwm' >`+top+`/tstun-probe/devices.deny
		echo $$ >`+top+`/tstun-probe/cgroup.procs
		trap 'echo $$ >`+top+`/cgroup.procs' EXIT
		probe first adv0
		`+allow+`
		probe second adv0`)
	first, second := run.attempts(t, "first")[0], run.attempts(t, "second")[0]
	check(t, first.Findings, "device-cgroup", allow, "operation not permitted")
	if second.Error != "" {
		t.Errorf("did as told, and then: %s", second.Error)
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func quote(s string) string { return "'" + s + "'" }

// prober runs scripts as root in a mount and a network namespace of their own.
type prober struct{ test string }

func newProber(t *testing.T) *prober {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for namespaces and device nodes")
	}
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no TUN here: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &prober{self}
}

// probed is a script's run.
type probed struct{ dir string }

// run runs a script with the function probe FILE NAME, which runs a probe, as
// $AS says. $TEST is the program, and $D a directory that every user may use.
func (r *prober) run(t *testing.T, script string) probed {
	t.Helper()
	dir, err := os.MkdirTemp("", "tstun-probe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--net", "--propagation", "private", "sh", "-euc", `
		AS=
		D=`+dir+`
		TEST=$D/test
		cp `+r.test+` $TEST
		chmod 755 $TEST
		cd $D
		probe() {
			`+probeOut+`=$D/$1 `+probeName+`="${2:-adv0}" $AS $TEST -test.run '^TestProbe$' -test.timeout 50s >$D/$1.log 2>&1 || cat $D/$1.log
		}
		`+script+`
		echo $TEST >$D/TEST
		echo ${H:-} >$D/H`)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v\n%s", err, out)
	}
	return probed{dir}
}

func (p probed) attempts(t *testing.T, file string) (all []attempt) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, file))
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

// expand puts in what $TEST and $H were in the script.
func (p probed) expand(t *testing.T, command string) string {
	t.Helper()
	for _, variable := range []string{"TEST", "H"} {
		text, err := os.ReadFile(filepath.Join(p.dir, variable))
		if err != nil {
			t.Fatal(err)
		}
		command = strings.ReplaceAll(command, "$"+variable, strings.TrimSpace(string(text)))
	}
	if _, pid, ok := strings.Cut(command, "kill "); ok {
		if _, err := strconv.Atoi(pid); err != nil {
			t.Fatal(err)
		}
	}
	return command
}
