package layering

import (
	"flag"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var processors = flag.String("processors", runtime.GOARCH, "comma-separated `GOARCH`s whose compiler is asked what it inlines")

// hot lists, for each package, the functions that run for each packet and must
// be inlined where they are called. Receivers are written without type
// arguments. A function leaves the list when its benchmark shows that a call
// costs nothing.
var hot = map[string][]string{
	"tstun": {
		"(*Wrapper).isClosed", "(*Wrapper).noteHeard",
		"(*batch).end", "(*batch).observe", "(*batch).observeCached", "(*batch).send", "(*pool).list",
	},
	"pipeline": {
		"(*Config).RunsIn", "(*Config).RunsOut", "(*Frame).cacheExpiry", "(*Frame).SeesIn", "(*Frame).SeesOut", "(*Frame).hook", "(*Frame).resume",
		"(*Hooks).SeeIn", "(*Hooks).SeeOut", "(*Peer).destinationNAT", "(*Peer).flags", "(*Peer).translates",
		"(*Peers).forFilter", "(*VerdictCache).Revalidate", "Reject.reply", "accept", "drop", "handled",
	},
	"accounting": {
		"(*Call).Begin", "(*Call).Cached", "(*Call).CountCached",
		"(*Drops).Add", "(*Drops).reset", "(*Traffic).Add", "(*Traffic).AddAll", "(*Traffic).Sub",
	},
	"fragqueue": {"(*Queue).IsDue"},
	"clock":     {"Now"},
	"filter": {
		"Response.IsDrop", "formReason", "verdictFor",
		"(*Filter).isStale",
		"(*conn).has", "(*conn).nextPhaseConnectionless", "(*conn).pickUp", "(*conn).setGen", "(*conn).subjectToRules",
		"(*Limits).idleTimeout", "afterFIN", "afterUncertain", "phase.ended",
		"segment.controlBits", "segment.isRST", "segment.isSYN", "segment.isSYNACK",
		// new flows
		"classOf", "hash4", "hash6", "mix", "(*hostTable).find", "(*hostTable).slot",
		"(*node).list", "(*pairTable).slot", "(*dense).prefixes", "intersect", "flipSpan",
	},
	"flow": {
		"(*ID).Equal", "(*ID).IsZero", "(*ID).Key", "(*Key).equal", "Key.Proto", "Key.untagged", "protoAndFamily", "tag", "tickOf",
		"Stamp.Expires", "Stamp.Holds",
		"(*Entry).Key", "(*Entry).changesList", "(*Entry).class", "(*Entry).live", "(*Entry).needsUpdate", "(*Entry).targetList", "listOf",
		"(*Table).shardOf", "(*shard).stamp",
		"(*store).after", "(*store).at", "(*store).homeOf", "(*store).link", "(*store).pairs",
	},
	"packet": {
		"(*Parsed).Buffer", "(*Parsed).Decode", "(*Parsed).IsFragment", "(*Parsed).IsTCPHandshake", "(*Parsed).IsTCPSyn", "(*Parsed).Payload", "(*Parsed).Problem",
		"(*Parsed).Proto", "(*Parsed).Transport", "(*Parsed).end", "(*Parsed).reset", "(*Parsed).short", "(*Parsed).udpLenOK",
		"Fold", "isExtension",
	},
	"gso": {
		"(*Joiner).After", "(*Joiner).First", "(*Joiner).Groups", "(*Joiner).Len", "(*Joiner).open",
		"(*Splitter).More", "(*Splitter).Size", "(*Splitter).Skip", "(*Splitter).advance",
	},
}

// mergesLoads are the processors on which the compiler turns the byte loads of
// encoding/binary into one, so that its inliner counts them as one
// (base.Ctxt.Arch.CanMergeLoads in cmd/compile/internal/inline).
var mergesLoads = []string{"386", "amd64", "arm64", "ppc64le", "s390x"}

// needsMerging are those of hot that are small on these processors alone.
var needsMerging = map[string][]string{
	"pipeline":   {"(*Peers).find"},
	"accounting": {"(*Activity).Note"}, // whose atomic operations are calls on 32-bit arm
	"filter":     {"(*addrTable).findNet", "key4", "key6"},
	"packet":     {"(*Parsed).Addrs", "(*Run).match4", "updateChecksum"},
	"gso":        {"(*Splitter).fixTCP", "(*segment).classifyUDP", "flowHash"},
}

// asked are the packages of hot, and tunqueue, which calls gso. The last one
// comes with devices: to compile it for another processor takes a minute, so
// that there only the others are asked, and not where they are called.
var asked = []string{
	module + "/filter", module + "/flow", module + "/packet", module + "/internal/clock", module + "/internal/gso",
	module + "/internal/pipeline", module + "/internal/accounting", module + "/internal/fragqueue",
	module + "/internal/tunqueue", module,
}

const withDevices = 1

// TestHotFunctionsAreInlined holds the compiler to hot, as net/netip's test
// does. A function that is small enough, but that no caller inlines, is as bad.
func TestHotFunctionsAreInlined(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles for half a minute the first time")
	}
	for _, goarch := range strings.Split(*processors, ",") {
		t.Run(goarch, func(t *testing.T) {
			asked, env, foreign := asked, []string{"GOOS=linux", "GOARCH=" + goarch}, goarch != runtime.GOARCH
			if foreign {
				asked, env = asked[:len(asked)-withDevices], append(env, "CGO_ENABLED=0")
			} // or else as all is built, so that nothing but asked is compiled once more
			out := goTool(t, env, append([]string{"build", inlines}, asked...)...)
			said := readInlining(out)
			for pkg, names := range hot {
				if foreign && pkg == module {
					continue
				}
				for _, name := range names {
					said.check(t, pkg, name, foreign)
				}
				if slices.Contains(mergesLoads, goarch) {
					for _, name := range needsMerging[pkg] {
						said.check(t, pkg, name, foreign)
					}
				}
			}
		})
	}
}

// inlining is what the compiler said, by package and function in the form
// "flow.(*store).find".
type inlining struct {
	small   map[string]bool
	large   map[string]string // why
	inlined map[string]bool   // into some caller
}

// check wants the function to be small enough and, unless its callers were not
// all asked, to be inlined somewhere.
func (in *inlining) check(t *testing.T, pkg, name string, callersMissing bool) {
	t.Helper()
	full := pkg + "." + name
	switch why, large := in.large[full]; {
	case large:
		t.Errorf("%s is not inlined: %s", full, why)
	case !in.small[full]:
		t.Errorf("%s is not inlined: the compiler knows no such function", full)
	case !in.inlined[full] && !callersMissing:
		t.Errorf("%s could be inlined, but nowhere is", full)
	}
}

var (
	canInline    = regexp.MustCompile(`^\S+: can inline (.+) with cost \d+ as: `)
	cannotInline = regexp.MustCompile(`^\S+: cannot inline (.+?): (.+)$`)
	inlinesCall  = regexp.MustCompile(`^\S+: inlining call to (.+)$`)
)

func readInlining(out string) *inlining {
	in := &inlining{small: make(map[string]bool), large: make(map[string]string), inlined: make(map[string]bool)}
	pkg := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if path, ok := strings.CutPrefix(line, "# "); ok {
			pkg = path[strings.LastIndex(path, "/")+1:]
			continue
		}
		if m := canInline.FindStringSubmatch(line); m != nil {
			in.small[qualified(pkg, m[1])] = true
		} else if m := cannotInline.FindStringSubmatch(line); m != nil {
			in.noteLarge(qualified(pkg, m[1]), m[1], m[2])
		} else if m := inlinesCall.FindStringSubmatch(line); m != nil {
			in.inlined[qualified(pkg, m[1])] = true
		}
	}
	return in
}

// noteLarge notes why a function is not inlined. Of a generic function the code
// is that of its shapes; the wrappers around it that have types for arguments
// only pass on to it.
func (in *inlining) noteLarge(full, name, why string) {
	if !strings.Contains(name, "[") || strings.Contains(name, "[go.shape.") {
		in.large[full] = why
	}
}

// qualified is the name of a function that the compiler named in pkg, with its
// package and without type arguments.
func qualified(pkg, name string) string {
	var b strings.Builder
	depth := 0
	for _, r := range name {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	name = b.String()
	first, rest, qualified := strings.Cut(name, ".")
	if qualified && !strings.HasPrefix(first, "(") && (strings.HasPrefix(rest, "(") || strings.Contains(rest, ".") || knownPackage(first)) {
		return name
	}
	return pkg + "." + name
}

// knownPackage tells a package's function, flow.In, from a method, Key.ID.
func knownPackage(name string) bool { return hot[name] != nil }

// TestInliningIsRead feeds lines as compilers print them.
func TestInliningIsRead(t *testing.T) {
	in := readInlining(`# tstun/filter
flow/store.go:32:6: can inline flow.(*store[go.shape.struct { a [2]uint16; b uint8 }]).at with cost 8 as: method(*store) func(ref) { }
flow/store.go:53:6: cannot inline flow.(*store[go.shape.struct { a [2]uint16 }]).find: function too complex: cost 180 exceeds budget 80
flow/store.go:53:6: can inline flow.(*store[tstun/filter.conn]).find with cost 64 as: method(*store) func(ref) { }
filter/segment.go:32:6: can inline segment.isSYN with cost 10 as: method(segment) func() bool { return x }
filter/segment.go:33:6: inlining call to segment.isSYN
filter/in.go:46:16: inlining call to flow.In
flow/table.go:2:2: inlining call to flow.Stamp.Holds
`)
	for _, name := range []string{"flow.(*store).at", "filter.segment.isSYN"} {
		if !in.small[name] {
			t.Errorf("%s is not small", name)
		}
	}
	for _, name := range []string{"filter.segment.isSYN", "flow.In", "flow.Stamp.Holds"} {
		if !in.inlined[name] {
			t.Errorf("%s is not inlined", name)
		}
	}
	if why := in.large["flow.(*store).find"]; why != "function too complex: cost 180 exceeds budget 80" {
		t.Errorf("find is large because %q", why)
	}
}
