package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lengths are how long a client's prompts and answers are from a time on.
type lengths struct {
	from          time.Duration
	input, output []shares // prompts may be of several parts, each with a length of its own
}

// shares is a distribution over whole lengths: the share of all up to each.
type shares struct {
	tokens []int32
	upTo   []float64
}

func (s *shares) draw(random *rand.Rand) int32 {
	u := random.Float64() * s.upTo[len(s.upTo)-1]
	i, _ := slices.BinarySearch(s.upTo, u)
	return s.tokens[min(i, len(s.tokens)-1)]
}

// drawer draws one request's lengths.
type drawer interface {
	draw(random *rand.Rand) (input, output int32)
}

func (l *lengths) draw(random *rand.Rand) (input, output int32) {
	sum := func(parts []shares) int32 {
		total := int64(0)
		for i := range parts {
			total += int64(parts[i].draw(random))
		}
		return int32(min(max(total, 1), MaxTokens))
	}
	return sum(l.input), sum(l.output)
}

type shapeDrawer struct{ *Shape }

func (s shapeDrawer) draw(random *rand.Rand) (input, output int32) {
	return s.Input.draw(random), s.Output.draw(random)
}

// lengthsAt are those of the window that a time is in, else of the last before it that has some, the first after it, or otherwise.
func (c *client) lengthsAt(at time.Duration, otherwise *Shape) (drawer, error) {
	i, found := slices.BinarySearchFunc(c.lengths, at, func(l lengths, t time.Duration) int { return cmp.Compare(l.from, t) })
	if !found {
		i--
	}
	for k := i; k >= 0; k-- {
		if l := &c.lengths[k]; len(l.input) > 0 {
			return l, nil
		}
	}
	for k := max(0, i); k < len(c.lengths); k++ {
		if l := &c.lengths[k]; len(l.input) > 0 {
			return l, nil
		}
	}
	if otherwise != nil {
		return shapeDrawer{otherwise}, nil
	}
	return nil, fmt.Errorf("trace: %s: nothing says how long this client's requests are: no %s beside it does, and no lengths are given for those that have none", c.file, datasetPart)
}

// parseDataset reads the lengths of a client by window: {"0": {"input_tokens": "{45: 0.01, ...}", "output_tokens": ...}}. Prompts
// of several parts (text, image, audio, video) are their sum. An empty distribution is one that was not published.
func parseDataset(raw []byte, name string) ([]lengths, error) {
	var windows map[string]map[string]any
	if err := json.Unmarshal(raw, &windows); err != nil {
		return nil, fmt.Errorf("trace: %s: %w", name, err)
	}
	var all []lengths
	for at, fields := range windows {
		refuse := func(field string, err error) error {
			return fmt.Errorf("trace: %s: %q in window %q: %w", name, field, shorten([]byte(at)), err)
		}
		seconds, err := secondsOf(at)
		if err != nil {
			return nil, refuse("time", err)
		}
		l := lengths{from: seconds}
		for _, field := range []string{"input_tokens", "text_tokens", "image_tokens", "audio_tokens", "video_tokens", "output_tokens"} {
			text, ok := fields[field].(string)
			if !ok {
				continue
			}
			s, err := parseShares(text)
			if err != nil {
				return nil, refuse(field, err)
			}
			switch {
			case len(s.tokens) == 0:
			case field == "output_tokens":
				l.output = append(l.output, s)
			default:
				l.input = append(l.input, s)
			}
		}
		if len(l.input) == 0 || len(l.output) == 0 {
			l.input, l.output = nil, nil
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b lengths) int { return cmp.Compare(a.from, b.from) })
	return all, nil
}

// parseShares reads {45: 0.01, 46: 0.02}.
func parseShares(text string) (s shares, err error) {
	body, opened := strings.CutPrefix(strings.TrimSpace(text), "{")
	body, closed := strings.CutSuffix(body, "}")
	if !opened || !closed {
		return s, fmt.Errorf("%q; allowed is {LENGTH: SHARE, ...}", shorten([]byte(text)))
	}
	total := 0.0
	for pair := range strings.SplitSeq(body, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, ":")
		tokens, err := tokensOf("length", []byte(strings.TrimSpace(key)))
		if err != nil {
			return s, err
		}
		share, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(share >= 0 && share <= 1e9) {
			return s, fmt.Errorf("the share of length %d is %q; allowed is a number of 0 or more", tokens, shorten([]byte(value)))
		}
		if share > 0 {
			total += share
			s.tokens, s.upTo = append(s.tokens, tokens), append(s.upTo, total)
		}
	}
	return s, nil
}
