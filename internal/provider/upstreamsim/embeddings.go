package upstreamsim

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// embeddingRequest is what the simulator reads of an embeddings request.
type embeddingRequest struct {
	model  string
	inputs []embeddingInput
	size   int
	base64 bool
}

type embeddingInput struct {
	hash   uint64
	tokens int64
}

func (s *Server) decodeEmbeddings(p *pool, body []byte) (*embeddingRequest, *apiError) {
	root, fail := parseObject(body)
	if fail != nil {
		return nil, fail
	}
	q := &embeddingRequest{model: root.Get("model").String(), size: p.pace.opts.EmbeddingSize}
	if q.model == "" {
		return nil, invalid("", "you must provide a model parameter")
	}
	if d := root.Get("dimensions"); d.Exists() && d.Type != gjson.Null {
		if d.Int() < 1 || d.Int() > maxEmbeddingSize {
			return nil, invalid("dimensions", "Invalid 'dimensions': expected a value between 1 and %d.", maxEmbeddingSize)
		}
		q.size = int(d.Int())
	}
	switch format := root.Get("encoding_format").String(); format {
	case "", "float":
	case "base64":
		q.base64 = true
	default:
		return nil, invalid("encoding_format", "Invalid value: '%s'. Supported values are: 'float' and 'base64'.", format)
	}
	input := root.Get("input")
	items := []gjson.Result{input}
	// A list of numbers is one input of tokens; any other list is a list of inputs.
	if input.IsArray() && input.Get("0").Type != gjson.Number {
		items = input.Array()
	}
	if len(items) == 0 || len(items) > maxEmbeddingInputs {
		return nil, invalid("input", "'input' must hold 1 to %d items.", maxEmbeddingInputs)
	}
	for _, item := range items {
		in := embeddingInput{hash: s.hash([]byte(item.Raw))}
		switch {
		case item.Type == gjson.String && item.Str != "":
			in.tokens = tokens(len(item.Str))
		case item.IsArray():
			in.tokens = item.Get("#").Int()
		}
		if in.tokens == 0 {
			return nil, invalid("input", "'input' cannot be an empty string.")
		}
		q.inputs = append(q.inputs, in)
	}
	return q, nil
}

// embeddings answers one embeddings request whose body is read.
func (j *job) embeddings(body []byte) {
	q, fail := j.s.decodeEmbeddings(j.pool, body)
	if fail != nil {
		j.fail(fail)
		return
	}
	if !j.pool.serves(q.model) {
		j.fail(unknownModel(q.model))
		return
	}
	if act := j.script.pick(&subject{pool: j.pool.name, endpoint: EndpointEmbeddings, model: q.model}); act != nil {
		j.wire.act = act
	}
	act := j.wire.act
	if j.refuses(act) || !j.enter() {
		return
	}
	defer j.pool.pace.leave()
	a := &answer{model: orDefault(act.Model, q.model), tier: servedTier("", act)}
	for _, in := range q.inputs {
		a.input += in.tokens
	}
	j.bill(a, q.model)
	ctx := j.r.Context()
	c, err := j.pool.pace.begin(ctx, a.input, 0)
	if err == nil {
		err = c.stall(ctx, act.StallFirstByte)
	}
	if err == nil && act.Body != nil {
		err = j.exact(ctx, c, a)
	} else if err == nil {
		err = j.vectors(q, a)
	}
	j.end(err)
}

func (j *job) vectors(q *embeddingRequest, a *answer) error {
	act := j.wire.act
	b := append(make([]byte, 0, 256+len(q.inputs)*q.size*12), `{"object":"list","data":[`...)
	for i, in := range q.inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"object":"embedding","index":`...), int64(i), 10)
		b = appendVector(append(b, `,"embedding":`...), vector(in.hash, q.size), q.base64)
		b = append(b, '}')
	}
	b = appendString(append(b, `],"model":`...), a.model)
	if !act.UsageMissing {
		input := a.input
		if act.Usage.Input != nil {
			input = *act.Usage.Input
		}
		total := input
		if act.Usage.Total != nil {
			total = *act.Usage.Total
		}
		b = strconv.AppendInt(append(b, `,"usage":{"prompt_tokens":`...), input, 10)
		b = strconv.AppendInt(append(b, `,"total_tokens":`...), total, 10)
		b = append(b, '}')
	}
	b = append(b, "}\n"...)
	j.wire.header("application/json", j.s.opts.Now)
	status := StatusComplete
	if j.wire.cuts(len(b)) || act.ContentLengthDelta != 0 {
		status = StatusCut
	}
	if err := j.record(status); err != nil {
		return err
	}
	return j.wire.whole(http.StatusOK, b)
}

// vector makes a vector of length 1 from a hash.
func vector(hash uint64, size int) []float32 {
	v := make([]float64, size)
	var sum float64
	for i := range v {
		// The top 53 bits, spread over [-1, 1).
		v[i] = float64(mix(hash+uint64(i))>>11)/(1<<52) - 1
		sum += v[i] * v[i]
	}
	norm := math.Sqrt(sum)
	out := make([]float32, size)
	for i := range v {
		out[i] = float32(v[i] / norm)
	}
	return out
}

func appendVector(b []byte, v []float32, encoded bool) []byte {
	if encoded {
		raw := make([]byte, 0, 4*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), raw), '"')
	}
	b = append(b, '[')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return append(b, ']')
}

// models answers GET /v1/models and GET /v1/models/ID.
func (j *job) models(id string) {
	if act := j.script.pick(&subject{pool: j.pool.name, endpoint: EndpointModels, model: id}); act != nil {
		j.wire.act = act
		if j.refuses(act) {
			return
		}
	}
	object := func(b []byte, id string) []byte {
		b = appendString(append(b, `{"id":`...), id)
		b = strconv.AppendInt(append(b, `,"object":"model","created":`...), j.pool.created, 10)
		return append(b, `,"owned_by":"simulated"}`...)
	}
	var b []byte
	if id != "" {
		if len(j.pool.models) > 0 && !j.pool.serves(id) {
			j.fail(unknownModel(id))
			return
		}
		b = object(nil, id)
	} else {
		b = []byte(`{"object":"list","data":[`)
		for i, m := range j.pool.models {
			if i > 0 {
				b = append(b, ',')
			}
			b = object(b, m)
		}
		b = append(b, "]}"...)
	}
	j.wire.header("application/json", j.s.opts.Now)
	j.end(j.wire.whole(http.StatusOK, append(b, '\n')))
}
