package flowexpr

import (
	"strconv"

	"tstun/filter"
)

const (
	// maxText bounds an expression, and what Expr.String makes of it, in bytes.
	maxText = 16384
	// maxDepth bounds how deep parentheses and nots may stand in each other.
	maxDepth = 100
	// maxLength is the longest length that a test may name, and more than any packet's.
	maxLength = 1<<31 - 1
)

// parser reads an expression. Its methods read on from tokens[0].
type parser struct {
	tokens  []token
	options *Options
	depth   int
}

// parse reads an expression. It returns nil for an empty one.
func parse(s string, o *Options) (*node, error) {
	if len(s) > maxText {
		return nil, tooLong(s, "want %d bytes at most")
	}
	p := &parser{tokens: lex(s), options: o}
	if p.peek().kind == tokenEnd {
		return nil, nil
	}
	n, _, err := p.expression(qualifiers{})
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind == tokenClose {
		return nil, wrong(t, "no parenthesis is open here")
	} else if t.kind != tokenEnd {
		return nil, unexpected(t, "want and or or in front of it")
	}
	return n, nil
}

func (p *parser) peek() token { return p.tokens[0] }

// next returns the next token, and goes on. It stays at the end.
func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != tokenEnd {
		p.tokens = p.tokens[1:]
	}
	return t
}

// takeWord goes on if the next token is that word.
func (p *parser) takeWord(word string) bool {
	if t := p.peek(); t.kind != tokenWord || t.text != word {
		return false
	}
	p.next()
	return true
}

// enter counts a parenthesis or a not, which leave uncounts.
func (p *parser) enter(t token) error {
	if p.depth++; p.depth > maxDepth {
		return wrong(t, "more than %d parentheses and nots in each other", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// expression reads terms with and and or between them, from left to right. q is what a
// name without words before it inherits; that of the last term is returned.
func (p *parser) expression(q qualifiers) (*node, qualifiers, error) {
	left, q, err := p.term(q)
	for err == nil && p.atOperator() {
		op := p.operator()
		var right *node
		right, q, err = p.term(q)
		left = &node{op: op, left: left, right: right}
	}
	return left, q, err
}

func (p *parser) atOperator() bool {
	kind := p.peek().kind
	return kind == tokenAnd || kind == tokenOr
}

func (p *parser) operator() op {
	if p.next().kind == tokenAnd {
		return opAnd
	}
	return opOr
}

// term reads a test, a not with what it is about, or parentheses. What stands in those
// inherits; the words in them are not inherited behind them.
func (p *parser) term(q qualifiers) (*node, qualifiers, error) {
	t := p.peek()
	switch t.kind {
	case tokenNot:
		return p.not(q)
	case tokenOpen:
		n, err := p.parentheses(func() (*node, error) {
			n, _, err := p.expression(q)
			return n, err
		})
		return n, q, err
	case tokenWord:
		if isWord(t.text) {
			return p.primitive()
		}
		if refusal(t.text) != "" && !q.named() {
			return nil, q, unexpected(t, "")
		}
	case tokenName:
	default:
		return nil, q, unexpected(t, "want a test, such as host 10.0.0.1, tcp port 443 or dropped")
	}
	if q.kind == kindNone {
		return nil, q, p.unknownWord(p.next())
	}
	n, err := p.id(q)
	return n, q, err
}

func (p *parser) not(q qualifiers) (*node, qualifiers, error) {
	if err := p.enter(p.next()); err != nil {
		return nil, q, err
	}
	defer p.leave()
	n, q, err := p.term(q)
	return &node{op: opNot, left: n}, q, err
}

// parentheses reads an opening parenthesis, what inside reads, and a closing one.
func (p *parser) parentheses(inside func() (*node, error)) (*node, error) {
	open := p.next()
	if err := p.enter(open); err != nil {
		return nil, err
	}
	defer p.leave()
	n, err := inside()
	if err != nil {
		return nil, err
	}
	switch t := p.next(); t.kind {
	case tokenClose:
		return n, nil
	case tokenEnd:
		return nil, wrong(t, "want a closing parenthesis for the one at byte %d", open.pos)
	default:
		return nil, unexpected(t, "want and, or or a closing parenthesis in front of it")
	}
}

// primitive reads a test that begins with a word of the grammar. It returns what may be
// inherited behind it: nothing behind a test without a name.
func (p *parser) primitive() (*node, qualifiers, error) {
	first := p.next()
	switch first.text {
	case "in", "inbound":
		return leaf(test{what: isWay, way: wayIn}), qualifiers{}, nil
	case "out", "outbound":
		return leaf(test{what: isWay, way: wayOut}), qualifiers{}, nil
	case "dropped":
		return leaf(test{what: isDropped}), qualifiers{}, nil
	case "accepted":
		n, err := p.negated(first, test{what: isDropped})
		return n, qualifiers{}, err
	case "less", "greater", "len":
		n, err := p.length(first)
		return n, qualifiers{}, err
	}
	q, err := p.qualifiers(first)
	if err != nil {
		return nil, q, err
	}
	if q.kind == kindNone {
		return q.protocolTest(), q, nil
	}
	n, err := p.ids(q)
	return n, q, err
}

func leaf(t test) *node { return &node{test: t} }

// negated returns not t for the word of one token, which counts as the not that String
// writes.
func (p *parser) negated(word token, t test) (*node, error) {
	if err := p.enter(word); err != nil {
		return nil, err
	}
	p.leave()
	return &node{op: opNot, left: leaf(t)}, nil
}

// ids reads what stands behind qualifiers: a name, not and a name, or names in
// parentheses.
func (p *parser) ids(q qualifiers) (*node, error) {
	switch t := p.peek(); t.kind {
	case tokenNot:
		if err := p.enter(p.next()); err != nil {
			return nil, err
		}
		defer p.leave()
		n, err := p.ids(q)
		return &node{op: opNot, left: n}, err
	case tokenOpen:
		return p.parentheses(func() (*node, error) { return p.idList(q) })
	}
	return p.id(q)
}

func (p *parser) idList(q qualifiers) (*node, error) {
	left, err := p.ids(q)
	for err == nil && p.atOperator() {
		op := p.operator()
		var right *node
		right, err = p.ids(q)
		left = &node{op: op, left: left, right: right}
	}
	return left, err
}

// length reads what stands behind less, greater and len. less and greater include the
// length that they name.
func (p *parser) length(word token) (*node, error) {
	if p.options.Records {
		return nil, wrong(word, "the record of a flow has no length: want a test of something else")
	}
	relation := map[string]string{"less": "<=", "greater": ">="}[word.text]
	if relation == "" {
		t := p.next()
		if t.kind != tokenRelation {
			return nil, unexpected(t, "want a comparison behind len, such as len > 1000")
		}
		relation = t.raw
	}
	t := p.next()
	n, ok := number(t.text, maxLength-1)
	if t.kind != tokenWord || !ok {
		return nil, unexpected(t, "want a number of bytes, without leading zeros")
	}
	return p.lengthTest(relation, uint32(n), t)
}

// lengthTest returns the test of len RELATION n. t is where n stands.
func (p *parser) lengthTest(relation string, n uint32, t token) (*node, error) {
	within := func(first, last uint32) test { return test{what: isLength, first: first, last: last} }
	switch relation {
	case "<=":
		return leaf(within(0, n)), nil
	case ">=":
		return leaf(within(n, maxLength)), nil
	case ">":
		return leaf(within(n+1, maxLength)), nil
	case "<":
		if n == 0 {
			return nil, wrong(t, "no packet is shorter than 0 bytes: want a larger number")
		}
		return leaf(within(0, n-1)), nil
	case "!=":
		return p.negated(t, within(n, n))
	}
	return leaf(within(n, n)), nil
}

// number reads a decimal number, or one in hexadecimal behind 0x, up to limit. Leading
// zeros are refused: to tcpdump they mean octal in some places and nothing in others.
func number(s string, limit uint64) (n uint64, ok bool) {
	base := 10
	switch {
	case len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil && n <= limit
}

// reasonNames returns the names of all reasons.
func reasonNames() (names []string) {
	for _, r := range filter.Reasons() {
		names = append(names, r.String())
	}
	return names
}
