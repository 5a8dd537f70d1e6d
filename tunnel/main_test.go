package tunnel_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tstun/key"
	"tstun/tunnel"
)

// autoEnv has this test program start a tunnel in ModeAuto and say which mode
// that is, instead of running tests.
const autoEnv = "TUNNEL_AUTO"

// killedEnv names the StateDir of a tunnel in kernel mode that this test program
// is to start, instead of running tests, and to be killed with.
const killedEnv = "TUNNEL_KILLED"

const killedName = "tstun7"

func beKilled(dir string) {
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.Name, c.Mode, c.StateDir = killedName, tunnel.ModeKernel, dir
	c.Peers[0].AllowedIPs = prefixes("0.0.0.0/0")
	if _, err := tunnel.Start(context.Background(), c); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up")
	select {}
}

func TestMain(m *testing.M) {
	if os.Getenv(autoEnv) != "" {
		c := userspace(key.NewPrivate(), key.NewPrivate())
		c.Name, c.Mode = "tstun9", tunnel.ModeAuto
		t, err := tunnel.Start(context.Background(), c)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		defer t.Close()
		fmt.Printf("%s: %s\n", t.Status().Mode, t.Status().ModeReason)
		return
	}
	if dir := os.Getenv(killedEnv); dir != "" {
		beKilled(dir)
	}
	goleak.VerifyTestMain(m)
}
