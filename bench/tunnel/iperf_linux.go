package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// transfer is what iperf3 says of a transfer.
type transfer struct {
	bitsPerSecond  float64 // received
	bytes          float64 // received
	packets, sent  float64 // of UDP
	took           time.Duration
	client, server time.Duration // processor time
}

const iperfPort = "5201"

// iperf sends from a to an address of b, by TCP over one connection unless the client gets
// arguments that say otherwise.
func (l *lab) iperf(ctx context.Context, to netip.Addr, args ...string) (transfer, error) {
	// iperf3 ends by itself, but not if no packet passes any more.
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Time+15*time.Second)
	defer cancel()
	address := to.String()
	server := iperfCommand(ctx, "-s", "-1", "-B", address, "-p", iperfPort, "--forceflush")
	out, err := server.StdoutPipe()
	if err != nil {
		return transfer{}, err
	}
	if err := l.b.ns.Start(server); err != nil {
		return transfer{}, fmt.Errorf("start iperf3: %w", err)
	}
	defer func() {
		server.Process.Kill() // has ended, unless there was an error
		server.Wait()
	}()
	if err := awaitListening(out); err != nil {
		return transfer{}, err
	}
	client := iperfCommand(ctx, append(args, "-c", address, "-p", iperfPort, "-J",
		"-t", strconv.Itoa(int(math.Ceil(l.cfg.Time.Seconds()))))...)
	var stdout bytes.Buffer
	client.Stdout = &stdout
	if err := l.a.ns.Start(client); err != nil {
		return transfer{}, fmt.Errorf("start iperf3: %w", err)
	}
	if err := client.Wait(); err != nil {
		return transfer{}, fmt.Errorf("iperf3: %w: %s", err, iperfError(stdout.Bytes()))
	}
	if err := server.Wait(); err != nil {
		return transfer{}, fmt.Errorf("iperf3 server: %w", err)
	}
	t, err := parseIperf(stdout.Bytes())
	t.client, t.server = processorTime(client), processorTime(server)
	return t, err
}

// iperfCommand makes a command that does not outlive this process.
func iperfCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "iperf3", args...)
	cmd.WaitDelay = endWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func processorTime(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// awaitListening reads what the server says until it listens, and leaves the
// rest unread: it is less than a pipe holds.
func awaitListening(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listening") {
			return nil
		}
	}
	return errors.Join(errors.New("iperf3 server does not listen"), lines.Err())
}

// iperfResult is the part that is used of iperf3's JSON.
type iperfResult struct {
	Error string `json:"error"`
	End   struct {
		Received struct {
			Seconds       float64 `json:"seconds"`
			Bytes         float64 `json:"bytes"`
			BitsPerSecond float64 `json:"bits_per_second"`
			Packets       float64 `json:"packets"`
			Lost          float64 `json:"lost_packets"`
		} `json:"sum_received"`
	} `json:"end"`
}

func parseIperf(b []byte) (transfer, error) {
	var r iperfResult
	if err := json.Unmarshal(b, &r); err != nil {
		return transfer{}, fmt.Errorf("iperf3's report: %w", err)
	}
	if r.Error != "" {
		return transfer{}, fmt.Errorf("iperf3: %s", r.Error)
	}
	got := r.End.Received
	if got.Bytes == 0 {
		return transfer{}, errors.New("iperf3 received nothing")
	}
	return transfer{
		bitsPerSecond: got.BitsPerSecond, bytes: got.Bytes, packets: got.Packets - got.Lost, sent: got.Packets,
		took: time.Duration(got.Seconds * float64(time.Second)),
	}, nil
}

func iperfError(b []byte) string {
	var r iperfResult
	if json.Unmarshal(b, &r) == nil && r.Error != "" {
		return r.Error
	}
	return string(b)
}
