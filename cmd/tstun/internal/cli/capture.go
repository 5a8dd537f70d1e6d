package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tstun/capture"
	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
)

const captureHelp = `capture shows the packets of a tunnel that "tstun up" runs, as they pass, and
what becomes of each: accepted and handled ones, dropped ones with the reason,
both ways, as the host sees them. It ends with Ctrl-C, or after -c packets.

FILTER has tcpdump's words, and in, out, dropped, accepted, peer NAME and reason
REASON. Without it, all packets are shown. Quote what the shell would read.

  tstun capture in and dropped and not port 53

With --since, it begins in the past: first come the packets that the tunnel has
kept from then on, then those that pass, each once and in order. --until ends
it before a time; --until now shows the past alone. A tunnel keeps packets if
"tstun up --packet-memory 16MiB" started it: the latest, and of each as many
bytes as --packet-length says, to which those that pass are then cut as well.

  tstun capture --since -30s --until now dropped

With -w, they are written as pcapng, which tshark, tcpdump and Wireshark read; -
is standard output. Verdict, reason, policy, rule (FILE:LINE:COLUMN) and peer
are in each packet's comment. Who reads too slowly loses packets, which are
counted; no packet of the tunnel waits or is dropped for it. Who takes nothing
for a minute is cut off.

With --json, each packet is a line: "time", "direction", "proto", "src", "dst",
"length" of the IP packet, "tcpFlags", "verdict", "reason", "rule", "policy",
"peer", "injected", and "lost", how many packets are missing before it.

Exit codes:
  0  it was ended by a signal or --until, had -c packets, or the tunnel ended
  1  the tunnel does not run or keeps no packets, this user may not ask it, too
     many captures run, or the packets could not be written
  2  the command line, or FILTER, is wrong`

const captureExample = `  sudo tstun capture
  sudo tstun capture -c 20 tcp port 443 and peer laptop
  sudo tstun capture -w - | tshark -r -
  sudo tstun capture -s 128 -w trouble.pcapng dropped
  sudo tstun capture --since -5m --until -4m -w then.pcapng`

type captureOptions struct {
	asked
	write   string // a file, "-", or empty for text
	count   uint64
	snapLen int
	since   string
	until   string
	json    bool
}

// newCaptureCommand returns the command that shows packets.
func newCaptureCommand(env ui.Environment) *cobra.Command {
	var o captureOptions
	cmd := &cobra.Command{
		Use:               "capture [FILTER...]",
		Short:             "Show the packets of a tunnel that runs, with what becomes of them",
		Long:              captureHelp,
		Example:           captureExample,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeFilter(env, &o.asked),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, env); err != nil {
				return err
			}
			return runCapture(cmd.Context(), env, o, strings.Join(args, " "))
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.write, "write", "w", "", "write pcapng to `FILE`, or - for standard output")
	flags.Uint64VarP(&o.count, "count", "c", 0, "end after so many packets")
	flags.IntVarP(&o.snapLen, "snapshot-length", "s", 0, "take so many `BYTES` of each packet")
	flags.StringVar(&o.since, "since", "", "begin with packets of the past, from `TIME` on: -30s, or as RFC 3339 has it")
	flags.StringVar(&o.until, "until", "", "with --since: end before `TIME`: now, -10s, or as RFC 3339 has it")
	o.addFlags(cmd, env)
	flags.BoolVar(&o.json, "json", false, "print a JSON document for each packet, a line each")
	return cmd
}

func (o *captureOptions) check(cmd *cobra.Command, env ui.Environment) error {
	switch {
	case o.write != "" && o.json:
		return errors.New("--write with --json: want one of them")
	case o.write == stdinFile && env.Terminal:
		return ui.BadInput("as in: tstun capture -w - | tshark -r -", errors.New("-w - writes no pcapng to a terminal"))
	case cmd.Flags().Changed("count") && o.count == 0:
		return errors.New("--count 0: want a number from 1 on")
	case cmd.Flags().Changed("snapshot-length") && (o.snapLen < 1 || o.snapLen > capture.DefaultSnapLen):
		return fmt.Errorf("--snapshot-length %d: want 1 to %d", o.snapLen, capture.DefaultSnapLen)
	}
	return nil
}

func runCapture(ctx context.Context, env ui.Environment, o captureOptions, expr string) error {
	q, err := o.query(expr, time.Now())
	if err != nil {
		return err
	}
	c, err := o.client(env)
	if err != nil {
		return err
	}
	switch o.write {
	case "":
		return showPackets(ctx, env, c, q, o.json)
	case stdinFile:
		_, err := c.Capture(ctx, q, env.Stdout)
		return captureFailure(ctx, err)
	}
	return savePackets(ctx, env, c, q, o.write)
}

// query returns what the tunnel is asked.
func (o *captureOptions) query(expr string, now time.Time) (q control.CaptureQuery, err error) {
	q = control.CaptureQuery{Filter: expr, SnapLen: o.snapLen, Count: o.count}
	if o.since != "" {
		if q.Since, err = control.ParseSince(o.since, now); err != nil {
			return q, ui.BadInput("as in --since -30s", err)
		}
	}
	if o.until != "" {
		if q.Until, err = control.ParseTime("until", o.until, now); err != nil {
			return q, ui.BadInput("as in --until now", err)
		}
		if o.since == "" || !q.Since.Before(q.Until) {
			return q, ui.BadInput("as in --since -30s --until now", errors.New("--until: want a --since that is before it"))
		}
	}
	return q, nil
}

// savePackets writes a file, which other users may not read, and says what is in it.
func savePackets(ctx context.Context, env ui.Environment, c *control.Client, q control.CaptureQuery, name string) error {
	f := &lateFile{name: name}
	got, err := c.Capture(ctx, q, f)
	switch closeErr := f.Close(); {
	case f.openErr != nil:
		return ui.BadInput("want the name of a file that can be written, or - for standard output", f.openErr)
	case err != nil:
		return captureFailure(ctx, err)
	case closeErr != nil:
		return ui.WriteFailure(closeErr)
	}
	p := ui.NewPainter(env)
	p.Printf("%s in %s", packets(got.Written), name)
	if got.Lost > 0 {
		p.Printf(", %s more lost: this side was too slow", ui.Number(got.Lost))
	}
	p.Printf("\n")
	if ctx.Err() != nil { // a signal ended it, as is meant, and what is printed then may be cut off
		return nil
	}
	return p.Err()
}

// lateFile is a file that is made when there is something to write: who asks with a wrong
// filter keeps the file of before.
type lateFile struct {
	name    string
	file    *os.File
	openErr error
}

func (l *lateFile) Write(b []byte) (int, error) {
	if l.file == nil {
		if l.file, l.openErr = os.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); l.openErr != nil {
			l.file = nil
			return 0, l.openErr
		}
	}
	return l.file.Write(b)
}

// Close closes the file, if there is one.
func (l *lateFile) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// textSnapLen is how much of a packet its line needs.
const textSnapLen = 256

// showPackets prints a line for each packet, as they come.
func showPackets(ctx context.Context, env ui.Environment, c *control.Client, q control.CaptureQuery, asJSON bool) error {
	if q.SnapLen == 0 {
		q.SnapLen = textSnapLen
	}
	r, w := io.Pipe()
	printed := make(chan error, 1)
	go func() { // ends with the pipe
		err := printPackets(env.Stdout, r, asJSON)
		_ = r.CloseWithError(err)
		printed <- err
	}()
	got, err := c.Capture(ctx, q, w)
	_ = w.Close()
	if printErr := <-printed; printErr != nil && ctx.Err() == nil {
		return ui.WriteFailure(printErr)
	}
	if err == nil && got.Lost > 0 && !asJSON {
		_, _ = fmt.Fprintf(env.Stdout, "%s lost in all: this side was too slow\n", packets(got.Lost))
	}
	return captureFailure(ctx, err)
}

// printPackets prints what it reads, which may be nothing.
func printPackets(out io.Writer, in io.Reader, asJSON bool) error {
	print := printPacket
	if asJSON {
		print = encodePacket
	}
	buffered := bufio.NewReader(in)
	if _, err := buffered.Peek(1); err == io.EOF {
		return nil // the tunnel refused, which who asked it tells
	}
	r, err := capture.NewReader(buffered)
	if err != nil {
		return err
	}
	for {
		p, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = print(out, p, r.Parsed())
		}
		if err != nil {
			return err
		}
	}
}

// captureFailure returns the error of a capture. Its end by a signal is none.
func captureFailure(ctx context.Context, err error) error {
	var told *control.Error
	if err == nil || ctx.Err() != nil && !errors.As(err, &told) {
		return nil
	}
	return askFailure(err)
}
