package tunnel_test

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"tstun/bench/tunnel"
)

// answer is what the tests read of an agent's replies.
type answer struct {
	Error                  string
	Packets, Lost, Dropped int
	Median, P99            int64
}

// talk sends requests to a new agent, one after the other, and returns what it
// answers.
func talk(t *testing.T, requests ...string) []answer {
	t.Helper()
	in, out := io.Pipe()
	go func() {
		out2 := json.NewDecoder(strings.NewReader(strings.Join(requests, "\n")))
		for {
			var raw json.RawMessage
			if out2.Decode(&raw) != nil {
				out.Close()
				return
			}
			out.Write(raw)
		}
	}()
	var b strings.Builder
	if err := tunnel.Agent(in, &b); err != nil {
		t.Fatal(err)
	}
	var answers []answer
	d := json.NewDecoder(strings.NewReader(b.String()))
	for d.More() {
		var a answer
		if err := d.Decode(&a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(requests) {
		t.Fatalf("%d answers to %d requests: %s", len(answers), len(requests), b.String())
	}
	return answers
}

// free returns a UDP port of the loopback interface that nobody has.
func free(t *testing.T) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func TestAgentRefuses(t *testing.T) {
	for request, want := range map[string]string{
		`{"Do":"dance"}`:                             "unsupported",
		`{"Do":"stop"}`:                              "nothing was begun",
		`{"Do":"inject"}`:                            "no tunnel",
		`{"Do":"up"}`:                                "no node",
		`{"Do":"up","Node":{"Kind":"x"}}`:            "not known",
		`{"Do":"receive","To":"203.0.113.1:1"}`:      "assign",
		`{"Do":"ping","To":"127.0.0.1:1","Count":1}`: "",
		`{"Do":"usage"}`:                             "",
	} {
		got := talk(t, request)[0].Error
		if want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: error %q, want one with %q", request, got, want)
		}
	}
}

// What one agent sends, another receives, counted the same.
func TestSendAndReceive(t *testing.T) {
	requireRoot(t) // for the receiver's buffer
	to := free(t)
	got := talk(t,
		`{"Do":"receive","To":"`+to+`"}`,
		`{"Do":"send","To":"`+to+`","Size":200,"Rate":20000,"For":100000000}`,
		`{"Do":"stop"}`)
	for _, a := range got {
		if a.Error != "" {
			t.Fatal(a.Error)
		}
	}
	sent, received := got[1].Packets, got[2].Packets
	if sent < 1000 || sent > 2500 {
		t.Errorf("%d packets were sent in 100 ms at 20,000/s", sent)
	}
	// The last of them may still be in the socket.
	if received < sent*9/10 || received > sent || got[2].Dropped != 0 {
		t.Errorf("%d received and %d dropped of %d", received, got[2].Dropped, sent)
	}
}

func TestPing(t *testing.T) {
	requireRoot(t) // for the receiver's buffer
	to := free(t)
	got := talk(t, `{"Do":"echo","To":"`+to+`"}`, `{"Do":"ping","To":"`+to+`","Count":50}`, `{"Do":"stop"}`)
	p := got[1]
	if p.Packets != 50 || p.Lost != 0 || p.Median <= 0 || p.P99 < p.Median || got[2].Packets != 50 {
		t.Errorf("got %+v", got)
	}
}
