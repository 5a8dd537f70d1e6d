package tunnel_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tstun/logger"
	"tstun/tunnel"
)

// What a killed run left is removed, and not while it runs.
func TestCleanUp(t *testing.T) {
	ns := hosts(t)[0]
	dir := filepath.Join(t.TempDir(), "run")
	before := network(t, ns)
	cmd := exec.CommandContext(within(t), os.Args[0])
	cmd.Env = append(os.Environ(), killedEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	cleanUp := func() (found bool, err error) {
		_ = ns.Do(func() error {
			found, err = tunnel.CleanUp(killedName, dir, logger.Discard)
			return nil
		})
		return found, err
	}
	if found, err := cleanUp(); !found || err == nil || !strings.Contains(err.Error(), "another process has charge") {
		t.Errorf("while it runs: %v, %v", found, err)
	}
	if after := network(t, ns); !strings.Contains(after, killedName) {
		t.Errorf("it is not there any more:\n%s", after)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if left := network(t, ns); left == before {
		t.Error("the killed run left nothing: the test shows nothing")
	}
	if found, err := cleanUp(); !found || err != nil {
		t.Errorf("after it was killed: %v, %v", found, err)
	}
	if after := network(t, ns); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if _, err := os.Stat("/var/run/wireguard/" + killedName + ".sock"); !os.IsNotExist(err) {
		t.Errorf("the socket for wg: %v", err)
	}
	wantNoJournal(t, dir)
	if found, err := cleanUp(); found || err != nil {
		t.Errorf("with nothing left: %v, %v", found, err)
	}
}

func TestCleanUpRefuses(t *testing.T) {
	if found, err := tunnel.CleanUp("../x", t.TempDir(), logger.Discard); found || err == nil {
		t.Errorf("a path: %v, %v", found, err)
	}
}
