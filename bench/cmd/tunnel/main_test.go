package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tstun/bench/tunnel"
)

// TestMain lets the test be the program that is started for agents.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == agentArgument {
		if err := tunnel.Agent(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The smallest run has a figure in each row.
func TestRun(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		t.Skip("needs iperf3")
	}
	var out bytes.Buffer
	if err := run([]string{"--rounds", "1", "--seconds", "0.3"}, &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"TCP, one stream", "UDP, 200 bytes", "UDP, 1200 bytes", "SOCKS5 download", "first packet back", "resident memory, idle"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q", row)
		}
	}
	if strings.Contains(out.String(), "not complete") {
		t.Error("the run is not complete")
	}
	t.Log(out.String())
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"--rounds", "x"}, {"--what"}, {"tunnel"}} {
		if err := run(args, &bytes.Buffer{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}
