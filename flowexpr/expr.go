package flowexpr

import "tstun/flow"

// Options are what an expression is compiled with. The zero value knows no peer, and is
// for packets.
type Options struct {
	// Peers are the names that may stand behind peer. Compile does not keep it.
	Peers map[string]flow.PeerID
	// Records: the expression is for records of flows. They have no length, so that
	// less, greater and len are errors.
	Records bool
}

// Expr is a compiled expression. It never changes, and any number of goroutines may use
// it. The zero Expr is true of everything.
type Expr struct {
	tests []test
	entry next
	text  string
	peer  bool
}

// Compile compiles an expression. An empty one is true of everything. The error is an
// *Error.
func Compile(expr string, o Options) (*Expr, error) {
	root, err := parse(expr, &o)
	if err != nil {
		return nil, err
	}
	e := new(Expr)
	if root == nil {
		return e, nil
	}
	if e.text = root.String(); len(e.text) > maxText {
		return nil, tooLong(expr, "want one that has %d bytes at most when each test has all its words")
	}
	e.entry = e.emit(root, accept, reject)
	return e, nil
}

// Match reports whether e is true of s. It does not keep s, changes nothing, and does not
// allocate.
func (e *Expr) Match(s *Subject) bool {
	at := e.entry
	for at > accept {
		t := &e.tests[at-1]
		if t.holds(s) {
			at = t.yes
		} else {
			at = t.no
		}
	}
	return at == accept
}

// UsesPeer reports whether e looks at Subject.Peer, which a caller may have to look up.
func (e *Expr) UsesPeer() bool { return e.peer }

// String returns e written out: each test with all its words, and parentheses wherever the
// order is not from left to right. With the same Options it compiles to the same predicate.
func (e *Expr) String() string { return e.text }

// next is where a match goes on: at the test of that number, from 1 on, or nowhere.
type next int32

const (
	accept next = 0
	reject next = -1
)

// emit adds the tests of n, which go on at yes or no as n is true or false. It returns
// which is the first.
func (e *Expr) emit(n *node, yes, no next) next {
	switch n.op {
	case opNot:
		return e.emit(n.left, no, yes)
	case opAnd:
		return e.emit(n.left, e.emit(n.right, yes, no), no)
	case opOr:
		return e.emit(n.left, yes, e.emit(n.right, yes, no))
	}
	t := n.test
	t.yes, t.no = yes, no
	e.peer = e.peer || t.what == isPeer
	e.tests = append(e.tests, t)
	return next(len(e.tests))
}
