/* ekz: see ekz.h. The same arithmetic as edgekit/packing/, file by file; docs/packing.md describes the format. */
#include "ekz.h"

#include <string.h>

/* What a packer never exceeds: see text.py, channel.py and archive.py. */
#define MOST_TEXT (1u << 16)
#define MOST_DECISIONS (1u << 22)
#define RATIO 1024u
#define ALWAYS (1u << 16)

/* ------------------------------------------------------------------ probabilities: logistic.py */

#define LIMIT 3071

static const uint16_t ANCHORS[49] = {
    1,     1,     1,     2,     3,     5,     8,     13,    22,    36,    60,    98,    162,   267,   439,   720,   1179,
    1921,  3108,  4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816,
    65097, 65269, 65374, 65438, 65476, 65500, 65514, 65523, 65528, 65531, 65533, 65534, 65535, 65535, 65535};

static int32_t squash(int64_t x) {
    int32_t at, place, rest, p;
    if (x > LIMIT) x = LIMIT;
    if (x < -LIMIT) x = -LIMIT;
    at = (int32_t)x + 3072;
    place = at >> 7;
    rest = at & 127;
    p = ((int32_t)ANCHORS[place] * (128 - rest) + (int32_t)ANCHORS[place + 1] * rest + 64) >> 7;
    return p < 1 ? 1 : p > 65535 ? 65535 : p;
}

static uint32_t root(uint64_t n) { /* whole square root of at most 576 */
    uint32_t r = 0;
    while ((uint64_t)(r + 1) * (r + 1) <= n) r++;
    return r;
}

static int64_t shifted(int64_t x, int by) { /* rounds down, whatever the compiler does with negative numbers */
    return x < 0 ? ~(~x >> by) : x >> by;
}

/* ------------------------------------------------------------------ the state of one archive */

typedef struct {
    uint8_t *at;
    size_t left;
} arena_t;

typedef struct {
    uint32_t *slots;
    int64_t *weights;
    int looks, direct;
    int32_t rate;
    uint32_t limit;
} mixer_t;

typedef struct {
    const uint8_t *bits; /* modelled bits, and where they are read */
    size_t bits_size, bits_at;
    uint32_t low, high, value;
    const uint8_t *raw;
    size_t raw_size, raw_at;
    uint8_t *out;
    size_t out_size, out_at;
    arena_t arena;
    int16_t stretch[4096];
    /* the text model */
    mixer_t text;
    uint8_t *window;
    uint32_t *heads;
    uint32_t table_bits, at, follow, agreed, coded;
    uint32_t decisions;
    int error;
} ekz_t;

static void fail(ekz_t *z, int error) {
    if (!z->error) z->error = error;
}

static void *take(ekz_t *z, size_t count, size_t size) {
    size_t skip = (size_t)(-(uintptr_t)z->arena.at) & 7u;
    void *found;
    if (z->arena.left < skip || (z->arena.left - skip) / size < count) {
        fail(z, EKZ_NO_ROOM);
        return NULL;
    }
    found = z->arena.at + skip;
    z->arena.at += skip + count * size;
    z->arena.left -= skip + count * size;
    return found;
}

/* ------------------------------------------------------------------ bits: coder.py */

static int decode(ekz_t *z, int32_t p) {
    uint32_t middle = z->low + (uint32_t)(((uint64_t)(z->high - z->low) * (uint32_t)p) >> 16);
    int bit = z->value <= middle;
    if (bit)
        z->high = middle;
    else
        z->low = middle + 1;
    while (!((z->low ^ z->high) & 0xFF000000u)) {
        z->low <<= 8;
        z->high = z->high << 8 | 255u;
        z->value = z->value << 8 | (z->bits_at < z->bits_size ? z->bits[z->bits_at] : 0u);
        z->bits_at++;
    }
    return bit;
}

/* ------------------------------------------------------------------ mixing: mixing.py */

#define MOST_INPUTS 10

static int mixer(ekz_t *z, mixer_t *m, size_t slots, int looks, int direct, int sets, int64_t start, int32_t rate,
                 uint32_t limit) {
    size_t i;
    int set, k, inputs = looks + direct + 1;
    m->slots = (uint32_t *)take(z, slots, sizeof(uint32_t));
    m->weights = (int64_t *)take(z, (size_t)(sets * inputs), sizeof(int64_t));
    if (!m->slots || !m->weights) return 0;
    m->looks = looks;
    m->direct = direct;
    m->rate = rate;
    m->limit = limit;
    for (i = 0; i < slots; i++) m->slots[i] = 1u << 31;
    for (set = 0; set < sets; set++)
        for (k = 0; k < inputs; k++) m->weights[set * inputs + k] = k < looks ? start : 0;
    return 1;
}

static int mixed(ekz_t *z, mixer_t *m, const uint32_t *places, int chosen, const int32_t *direct) {
    int inputs = m->looks + m->direct + 1, i, bit;
    int64_t *weights = m->weights + chosen * inputs, total = 0, error;
    int32_t logits[MOST_INPUTS], p;
    for (i = 0; i < m->looks; i++) logits[i] = z->stretch[m->slots[places[i]] >> 20];
    for (i = 0; i < m->direct; i++) logits[m->looks + i] = direct[i];
    logits[inputs - 1] = 256;
    for (i = 0; i < inputs; i++) total += weights[i] * logits[i];
    p = squash(shifted(total, 16));
    bit = decode(z, p);
    error = (int64_t)((bit ? 65536 : 0) - p) * m->rate;
    for (i = 0; i < inputs; i++) weights[i] += shifted(logits[i] * error + 524288, 20);
    for (i = 0; i < m->looks; i++) {
        uint32_t state = m->slots[places[i]], count = state & 1023u;
        uint64_t q = state >> 10, rate = 131072u / (2u * count + 3u);
        if (bit)
            q += ((4194304u - q) * rate) >> 16;
        else
            q -= (q * rate) >> 16;
        m->slots[places[i]] = (uint32_t)q << 10 | (count < m->limit ? count + 1 : count);
    }
    return bit;
}

/* ------------------------------------------------------------------ text: text.py */

#define CONTEXTS 7
#define WINDOW (1u << 16)
#define HEADS (1u << 14)
#define MATCH 5u
#define LONGEST_MATCH 31u

static uint8_t back(const ekz_t *z, uint32_t distance) { return z->window[(z->at - distance) & (WINDOW - 1)]; }

static void learn(ekz_t *z, uint8_t byte) {
    int kept = z->agreed && z->window[z->follow] == byte;
    uint32_t key = 0, distance, there, length = 0;
    z->window[z->at & (WINDOW - 1)] = byte;
    z->at++;
    if (kept) {
        if (z->agreed < LONGEST_MATCH) z->agreed++;
        z->follow = (z->follow + 1) & (WINDOW - 1);
    } else {
        z->agreed = 0;
    }
    if (z->at < MATCH) return;
    for (distance = MATCH; distance > 0; distance--) key = key * 0x2Fu + back(z, distance) + 1u;
    key = (key * 0x9E3779B1u) >> 18;
    if (!z->agreed) {
        there = z->heads[key];
        while (there && length < LONGEST_MATCH && length < there) {
            if (z->window[(there - 1 - length) & (WINDOW - 1)] != back(z, 1 + length)) break;
            length++;
        }
        if (length >= MATCH) {
            z->agreed = length;
            z->follow = there & (WINDOW - 1);
        }
    }
    z->heads[key] = z->at;
}

static uint8_t text_byte(ekz_t *z) {
    uint32_t contexts[CONTEXTS], places[CONTEXTS + 2], bases[CONTEXTS];
    uint32_t b1 = back(z, 1), b2 = back(z, 2), b3 = back(z, 3), b4 = back(z, 4), b8 = back(z, 8), place = z->at & 3u;
    uint32_t expected = z->agreed ? z->window[z->follow] : 0, node = 1, half, i;
    uint32_t matched = 256u + (CONTEXTS << z->table_bits);
    int k;
    if (z->error || ++z->coded > MOST_TEXT) {
        fail(z, EKZ_DAMAGED);
        return 0;
    }
    contexts[0] = b1;
    contexts[1] = b1 | b2 << 8;
    contexts[2] = contexts[1] | b3 << 16;
    contexts[3] = contexts[2] | b4 << 24;
    contexts[4] = place << 8 | b4;
    contexts[5] = place << 16 | b8 << 8 | b4;
    contexts[6] = place << 16 | b1 << 8 | b4;
    for (half = 0; half < 2; half++) {
        uint32_t salt = half ? node * 0x85EBCA6Bu : 0, sub = 1;
        for (i = 0; i < CONTEXTS; i++) {
            uint32_t x = (2u * contexts[i] + half) * 0x9E3779B1u + i * 0x3C6EF372u + salt;
            x = (x ^ x >> 15) * 0x2C1B3C6Du;
            bases[i] = 256u + (i << z->table_bits) + (x >> (32u - z->table_bits) & ((1u << z->table_bits) - 16u));
        }
        for (k = 0; k < 4; k++) {
            int shift = 7 - 4 * (int)half - k, sure = 0, bit;
            uint32_t match = 0;
            if (z->agreed && (expected | 256u) >> (shift + 1) == node) {
                match = 1u + 2u * z->agreed + (expected >> shift & 1u);
                sure = z->agreed >= 16u ? 2 : 1;
            }
            places[0] = node;
            for (i = 0; i < CONTEXTS; i++) places[1 + i] = bases[i] + sub;
            places[CONTEXTS + 1] = matched + match;
            bit = mixed(z, &z->text, places, 4 * sure + (int)place, NULL);
            node = 2u * node + (uint32_t)bit;
            sub = 2u * sub + (uint32_t)bit;
        }
    }
    learn(z, (uint8_t)node);
    return (uint8_t)node;
}

static void ended(ekz_t *z) { /* more than the four bytes that a sound end may be short of */
    if (z->bits_at > z->bits_size && z->bits_at - z->bits_size > 4) fail(z, EKZ_DAMAGED);
}

static uint64_t number(ekz_t *z) {
    uint64_t value = 0;
    int shift;
    for (shift = 0; shift <= 35; shift += 7) {
        uint8_t byte = text_byte(z);
        if (shift == 35) break;
        value |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) return z->error ? 0 : value;
    }
    fail(z, EKZ_DAMAGED);
    return 0;
}

static size_t below(ekz_t *z, uint64_t limit) {
    uint64_t value = number(z);
    if (value >= limit) {
        fail(z, EKZ_DAMAGED);
        return 0;
    }
    return (size_t)value;
}

/* ------------------------------------------------------------------ where elements go: elements.py */

typedef struct {
    uint8_t *out;
    size_t count, at;    /* elements, and the next of them */
    size_t stride;       /* bytes between elements of a byte or more */
    uint32_t bits;       /* of an element; 1 for a mask */
    const uint8_t *mask; /* NULL, or a bit for each place: elements go where it is set */
    size_t place, places;
} sink_t;

static void put(ekz_t *z, sink_t *s, uint64_t value) {
    size_t i = s->at;
    uint32_t k;
    if (z->error) return;
    if (s->at >= s->count) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    s->at++;
    if (s->mask) {
        while (s->place < s->places && !(s->mask[s->place >> 3] >> (s->place & 7) & 1)) s->place++;
        if (s->place >= s->places) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        i = s->place++;
    }
    if (s->bits >= 8) {
        for (k = 0; k < s->bits / 8; k++) s->out[i * s->stride + k] = (uint8_t)(value >> (8 * k));
    } else {
        size_t bit = i * s->bits;
        uint8_t *byte = s->out + (bit >> 3);
        uint32_t shift = (uint32_t)(bit & 7);
        *byte = (uint8_t)((*byte & ~(((1u << s->bits) - 1u) << shift)) | (uint32_t)value << shift);
    }
}

/* ------------------------------------------------------------------ codebooks: sections.py */

typedef struct {
    uint64_t values[256];
    uint32_t size;
} book_t;

static void codebook(ekz_t *z, book_t *book, uint32_t bits) {
    uint32_t i, k, sum = 0;
    uint32_t wide = bits == 1 ? 8 : bits; /* a mask is written as bytes of 0 and 1 */
    book->size = 1u + (uint32_t)below(z, 256);
    for (i = 0; i < book->size; i++) {
        book->values[i] = 0;
        if (wide > 8) {
            for (k = 0; k < wide / 8; k++) book->values[i] |= (uint64_t)text_byte(z) << (8 * k);
        } else {
            sum += text_byte(z) + (i ? 1u : 0u);
            if (sum >> wide) fail(z, EKZ_DAMAGED);
            book->values[i] = (sum ^ 1u << (wide - 1)) & 255u;
            if (bits == 1 && book->values[i] > 1) book->values[i] = 1;
        }
    }
    ended(z);
}

static void put_symbol(ekz_t *z, sink_t *s, const book_t *book, uint32_t symbol) {
    if (symbol >= book->size)
        fail(z, EKZ_DAMAGED);
    else
        put(z, s, book->values[symbol]);
}

/* ------------------------------------------------------------------ matrices: symbols.py */

#define DENSITIES 25u
#define SHARES 17u
#define VALUES 18u

typedef struct {
    mixer_t flags, values;
    uint32_t *counts, *near, *wide, *three, *five;
    uint8_t *before, *lowest, *groups;
    size_t columns, period;
    uint32_t symbols, common, bits, group;
} matrix_t;

static uint32_t beside(const uint32_t *numbers, size_t columns, size_t at, size_t by, int right) {
    /* the number `by` columns to the left or right of `at`, 0 outside */
    if (right) return by < columns - at ? numbers[at + by] : 0;
    return by <= at ? numbers[at - by] : 0;
}

static void sums(matrix_t *m) {
    size_t c, n = m->columns, p = m->period;
    for (c = 0; c < n; c++) {
        m->three[c] = m->counts[c] + beside(m->counts, n, c, 1, 0) + beside(m->counts, n, c, 1, 1);
        m->five[c] = m->three[c] + beside(m->counts, n, c, 2, 0) + beside(m->counts, n, c, 2, 1);
    }
    for (c = 0; c < n; c++) {
        m->near[c] = m->three[c] + beside(m->three, n, c, p, 0) + beside(m->three, n, c, p, 1);
        m->wide[c] = m->five[c] + beside(m->five, n, c, p, 0) + beside(m->five, n, c, p, 1) +
                     beside(m->five, n, c, 2 * p, 0) + beside(m->five, n, c, 2 * p, 1);
    }
}

static int32_t logit(const ekz_t *z, uint64_t part, uint64_t whole) {
    uint64_t share = part / whole;
    return z->stretch[share < 4095 ? share : 4095];
}

static uint32_t other(ekz_t *z, matrix_t *m, const uint32_t *contexts, uint32_t density, int around) {
    uint32_t base = 1u << m->bits, table = base * VALUES, node = 1, places[6];
    int place;
    for (place = (int)m->bits - 1; place >= 0; place--) {
        uint32_t at = base + node * VALUES;
        places[0] = node;
        places[1] = at + contexts[0];
        places[2] = at + table + contexts[1];
        places[3] = at + 2 * table + contexts[2];
        places[4] = at + 3 * table + contexts[3];
        places[5] = base + 4 * table + node * DENSITIES + density;
        node = 2 * node + (uint32_t)mixed(z, &m->values, places, 4 * place + around, NULL);
    }
    return node - base;
}

static void row(ekz_t *z, matrix_t *m, sink_t *s, const book_t *book, size_t width, uint64_t seen) {
    uint32_t spread = 1u + (uint32_t)m->columns, beyond = spread + 2048u, own = beyond + DENSITIES * SHARES;
    uint32_t others = 0, last = 0, history = 0;
    size_t c;
    sums(m);
    m->flags.slots[own] = 1u << 31;
    memset(m->groups, 0, m->period + 1 + m->columns);
    for (c = 0; c < width && !z->error; c++) {
        uint32_t above = m->groups[c + 1], left = m->groups[c + m->period], contexts[4], places[5], flag, value;
        uint32_t around = (left > 0) + 2u * (above > 0) + 4u * (m->period > 1 && m->groups[c + 2] > 0) + 8u * (m->groups[c] > 0);
        uint64_t close = (2u * (uint64_t)m->near[c] + 1u) * 64u / seen, share = (2u * (uint64_t)others + 1u) * 256u / (c + 1);
        uint32_t density = root(close < 576 ? close : 576);
        int32_t direct[4];
        places[0] = 0;
        places[1] = 1u + (uint32_t)c;
        places[2] = spread + (m->before[c] * 16u + around) * 16u + history;
        places[3] = beyond + density * SHARES + root(share < 256 ? share : 256);
        places[4] = own;
        direct[0] = logit(z, (2u * (uint64_t)m->counts[c] + 1u) * 2048u, seen);
        direct[1] = logit(z, (2u * (uint64_t)m->near[c] + 1u) * 2048u, 9u * seen);
        direct[2] = logit(z, (2u * (uint64_t)m->wide[c] + 1u) * 2048u, 25u * seen);
        direct[3] = logit(z, (2u * (uint64_t)others + 3u) * 2048u, c + 25u);
        flag = (uint32_t)mixed(z, &m->flags, places, (int)around, direct);
        history = (history << 1 | flag) & 15u;
        m->before[c] = (uint8_t)((m->before[c] << 1 | flag) & 7u);
        if (!flag) {
            put_symbol(z, s, book, m->common);
            continue;
        }
        others++;
        m->counts[c]++;
        contexts[0] = last;
        contexts[1] = m->lowest[c];
        contexts[2] = left;
        contexts[3] = above;
        value = other(z, m, contexts, density, (int)(around & 3u));
        last = 1u + (value >> m->group);
        m->lowest[c] = m->groups[c + m->period + 1] = (uint8_t)last;
        put_symbol(z, s, book, value + (value >= m->common));
    }
}

static void symbols(ekz_t *z, sink_t *s) {
    book_t book;
    matrix_t m;
    size_t i, start, nodes, most = s->count ? s->count : 1;
    uint64_t seen = 1;
    codebook(z, &book, s->bits);
    m.columns = 1 + below(z, most);
    m.period = 1 + below(z, most);
    m.symbols = book.size;
    m.common = (uint32_t)below(z, book.size);
    if (m.period > m.columns) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    if (m.symbols < 2) {
        for (i = 0; i < s->count && !z->error; i++) put(z, s, book.values[0]);
        return;
    }
    for (m.bits = 1; (m.symbols - 2) >> m.bits; m.bits++) {
    }
    m.group = m.bits > 4 ? m.bits - 4 : 0;
    if (s->count > (MOST_DECISIONS - z->decisions) / (1 + m.bits)) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    z->decisions += (uint32_t)s->count * (1 + m.bits);
    nodes = (size_t)1 << m.bits;
    if (!mixer(z, &m.flags, m.columns + 2475, 5, 4, 16, 13107, 4, 1000)) return;
    if (!mixer(z, &m.values, nodes * (1 + 4 * VALUES + DENSITIES), 6, 0, 4 * (int)m.bits, 10922, 100, 1000)) return;
    m.counts = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.near = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.wide = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.three = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.five = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.before = (uint8_t *)take(z, m.columns, 1);
    m.lowest = (uint8_t *)take(z, m.columns, 1);
    m.groups = (uint8_t *)take(z, m.columns + m.period + 1, 1);
    if (z->error) return;
    memset(m.counts, 0, m.columns * sizeof(uint32_t));
    memset(m.before, 0, m.columns);
    memset(m.lowest, 0, m.columns);
    for (start = 0; start < s->count && !z->error; start += m.columns) {
        row(z, &m, s, &book, s->count - start < m.columns ? s->count - start : m.columns, seen++);
        ended(z);
    }
}

/* ------------------------------------------------------------------ Huffman codes: huffman.py */

#define LONGEST_CODE 15u

typedef struct {
    const uint8_t *data;
    size_t size, at; /* bits */
    uint16_t count[LONGEST_CODE + 1];
    uint8_t sorted[256]; /* symbols in order of their codes */
} code_t;

static void code_of(ekz_t *z, code_t *code, uint32_t alphabet, size_t count) {
    uint8_t lengths[256];
    uint32_t i, length, used = 0, space = 0;
    size_t lane = (count + 255) / 256, lanes, bytes;
    for (i = 0; i < alphabet; i++) lengths[i] = text_byte(z);
    ended(z);
    memset(code->count, 0, sizeof(code->count));
    for (i = 0; i < alphabet; i++) {
        if (lengths[i] > LONGEST_CODE) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        if (lengths[i]) {
            code->count[lengths[i]]++;
            space += (1u << LONGEST_CODE) >> lengths[i];
        }
    }
    if (count && (!space || space > 1u << LONGEST_CODE)) fail(z, EKZ_DAMAGED);
    for (length = 1; length <= LONGEST_CODE; length++)
        for (i = 0; i < alphabet; i++)
            if (lengths[i] == length) code->sorted[used++] = (uint8_t)i;
    if (lane < 4096) lane = 4096;
    for (lanes = count ? (count + lane - 1) / lane - 1 : 0; lanes > 0 && !z->error; lanes--) (void)number(z);
    bytes = (size_t)number(z);
    if (bytes > z->raw_size - z->raw_at) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    code->data = z->raw + z->raw_at;
    code->size = 8 * bytes;
    code->at = 0;
    z->raw_at += bytes;
}

static uint32_t symbol_of(ekz_t *z, code_t *code) {
    uint32_t word = 0, first = 0, index = 0, length;
    if (z->error) return 0;
    for (length = 1; length <= LONGEST_CODE; length++) {
        if (code->at >= code->size) break;
        word = word << 1 | (code->data[code->at >> 3] >> (7 - (code->at & 7)) & 1u);
        code->at++;
        if (word - first < code->count[length]) return code->sorted[index + word - first];
        index += code->count[length];
        first = (first + code->count[length]) << 1;
    }
    fail(z, EKZ_DAMAGED);
    return 0;
}

static void huffman(ekz_t *z, sink_t *s) {
    book_t book;
    code_t gaps, values;
    size_t i, total, kept = 0, left = s->count, gap;
    uint32_t common, step;
    codebook(z, &book, s->bits);
    common = (uint32_t)below(z, (uint64_t)book.size + 1);
    if (z->error) return;
    if (!common) {
        code_of(z, &values, book.size, s->count);
        for (i = 0; i < s->count && !z->error; i++) put_symbol(z, s, &book, symbol_of(z, &values));
        return;
    }
    total = below(z, (uint64_t)s->count + 1);
    code_of(z, &gaps, 256, total);
    for (i = 0; i < total && !z->error; i++) kept += symbol_of(z, &gaps) != 255;
    gaps.at = 0;
    code_of(z, &values, book.size, kept);
    for (i = 0; i < total && !z->error; i++) {
        step = symbol_of(z, &gaps);
        if (step > left) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        for (gap = step; gap > 0; gap--) put(z, s, book.values[common - 1]);
        left -= step;
        if (step == 255) continue;
        if (!left) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        put_symbol(z, s, &book, symbol_of(z, &values));
        left--;
    }
    for (; left > 0 && !z->error; left--) put(z, s, book.values[common - 1]);
}

/* ------------------------------------------------------------------ arrays: sections.py */

enum { END, SYMBOLS, PLANES, HUFFMAN, STORED, SPARSE, PRODUCT, CUT };

static const uint32_t WIDTHS[6] = {8, 16, 32, 64, 4, 2};

static void plain(ekz_t *z, sink_t *s, uint32_t method) { /* an array of one level: symbols, codes, or as it is */
    size_t bytes = (s->count * s->bits + 7) / 8, i;
    arena_t arena = z->arena;
    if (z->error) return;
    if (method == SYMBOLS) {
        symbols(z, s);
    } else if (method == HUFFMAN) {
        huffman(z, s);
    } else if (method == STORED && s->bits >= 8) {
        if (bytes > z->raw_size - z->raw_at) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        for (i = 0; i < s->count; i++) {
            uint64_t value = 0;
            uint32_t k;
            for (k = 0; k < s->bits / 8; k++) value |= (uint64_t)z->raw[z->raw_at++] << (8 * k);
            put(z, s, value);
        }
    } else {
        fail(z, EKZ_DAMAGED);
    }
    z->arena = arena;
}

static void planes(ekz_t *z, const sink_t *whole) {
    uint32_t k, width = whole->bits / 8;
    if (width < 2) fail(z, EKZ_DAMAGED);
    for (k = 0; k < width && !z->error; k++) {
        sink_t s = *whole;
        s.out += k;
        s.bits = 8;
        plain(z, &s, (uint32_t)below(z, CUT + 1));
    }
}

static void sparse(ekz_t *z, const sink_t *whole) {
    uint32_t width = whole->bits / 8, k, method;
    size_t i, others = 0;
    uint8_t common[8], *mask;
    arena_t arena = z->arena;
    sink_t flags, rest = *whole;
    if (!width) fail(z, EKZ_DAMAGED);
    for (k = 0; k < width; k++) common[k] = text_byte(z);
    mask = (uint8_t *)take(z, (whole->count + 7) / 8, 1);
    if (z->error) return;
    memset(mask, 0, (whole->count + 7) / 8);
    memset(&flags, 0, sizeof flags);
    flags.out = mask;
    flags.count = whole->count;
    flags.bits = 1;
    method = (uint32_t)below(z, CUT + 1);
    if (method != SYMBOLS && method != HUFFMAN) fail(z, EKZ_DAMAGED);
    plain(z, &flags, method);
    if (z->error) return;
    for (i = 0; i < whole->count; i++) {
        memcpy(whole->out + i * width, common, width);
        others += mask[i >> 3] >> (i & 7) & 1;
    }
    rest.mask = mask;
    rest.places = whole->count;
    rest.count = others;
    method = (uint32_t)below(z, CUT + 1);
    if (method == PLANES)
        planes(z, &rest);
    else
        plain(z, &rest, method);
    z->arena = arena;
}

/* ------------------------------------------------------------------ float32 times float32, rounded to nearest even */

static uint32_t times(uint32_t a, uint32_t b) {
    uint32_t sign = (a ^ b) & 0x80000000u, rest;
    int32_t exponent_a = (int32_t)(a >> 23 & 255u), exponent_b = (int32_t)(b >> 23 & 255u), exponent;
    uint64_t product, half;
    int drop;
    if (!exponent_a || !exponent_b || exponent_a == 255 || exponent_b == 255) return 0; /* no packer writes these */
    product = (uint64_t)((a & 0x7FFFFFu) | 0x800000u) * ((b & 0x7FFFFFu) | 0x800000u);
    exponent = exponent_a + exponent_b - 127;
    drop = 23;
    if (product >> 47) {
        drop = 24;
        exponent++;
    }
    half = (uint64_t)1 << (drop - 1);
    rest = (uint32_t)(product & ((half << 1) - 1));
    product >>= drop;
    if (rest > half || (rest == half && (product & 1))) product++;
    if (product >> 24) {
        product >>= 1;
        exponent++;
    }
    if (exponent < 1 || exponent > 254) return 0; /* nor these: they would not be scales */
    return sign | (uint32_t)exponent << 23 | ((uint32_t)product & 0x7FFFFFu);
}

static uint32_t little(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void product(ekz_t *z, size_t size) {
    uint64_t source = number(z);
    uint8_t factor[4];
    size_t i, k;
    for (k = 0; k < 4; k++) factor[k] = text_byte(z);
    if (z->error || size % 4 || source > z->out_at || size > z->out_at - source) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    for (i = 0; i < size; i += 4) {
        uint32_t found = times(little(z->out + source + i), little(factor));
        for (k = 0; k < 4; k++) z->out[z->out_at + i + k] = (uint8_t)(found >> (8 * k));
    }
}

/* ------------------------------------------------------------------ parts of earlier arrays: cutting.py */

#define MOST_RUNS 64
#define MOST_FACTORS 2048 /* bytes of factors that are text */

enum { ONES, TEXT, RAW };

typedef struct { /* which indices of an axis are taken: runs that are taken and passed over in turn, so many times */
    uint32_t runs[MOST_RUNS], count, repeats, taken, period;
} axis_t;

static void axis(ekz_t *z, axis_t *a, size_t size) {
    uint64_t taken = 0, period = 0, run;
    uint32_t i;
    a->count = (uint32_t)below(z, MOST_RUNS + 1);
    if (!a->count) fail(z, EKZ_DAMAGED);
    for (i = 0; i < a->count && !z->error; i++) {
        run = number(z);
        if (run > 0x7FFFFFFFu) fail(z, EKZ_DAMAGED);
        a->runs[i] = (uint32_t)run;
        period += run;
        if (i % 2 == 0) taken += run;
        if (period > 0x7FFFFFFFu) fail(z, EKZ_DAMAGED);
    }
    a->repeats = (uint32_t)below(z, (uint64_t)size + 2);
    if (z->error || period * a->repeats >= 0x80000000u) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    a->taken = (uint32_t)taken;
    a->period = (uint32_t)period;
}

static size_t place_of(const axis_t *a, size_t index) { /* index < taken * repeats */
    size_t rest = index % a->taken, at = index / a->taken * a->period;
    uint32_t i;
    for (i = 0; i < a->count; i += 2) {
        if (rest < a->runs[i]) return at + rest;
        rest -= a->runs[i];
        at += a->runs[i] + (i + 1 < a->count ? a->runs[i + 1] : 0u);
    }
    return at;
}

static void cut(ekz_t *z, size_t size) {
    axis_t rows, columns;
    uint64_t source, extent;
    uint32_t width = 1, mode, by_column;
    size_t r, c, k, high, wide, lines, span;
    const uint8_t *factors = NULL;
    uint8_t read[MOST_FACTORS];
    switch (below(z, 6)) {
        case 0: width = 1; break;
        case 2: width = 4; break;
        default: fail(z, EKZ_DAMAGED);
    }
    source = number(z);
    axis(z, &rows, size);
    if (z->error) return;
    axis(z, &columns, size);
    by_column = (uint32_t)below(z, 2);
    if (z->error) return;
    high = (size_t)rows.taken * rows.repeats;
    wide = (size_t)columns.taken * columns.repeats;
    span = (size_t)columns.period * columns.repeats;
    extent = (uint64_t)rows.period * rows.repeats * span;
    if ((uint64_t)high * wide * width != size || extent > 0x7FFFFFFFu || source > z->out_at ||
        extent * width > z->out_at - source)
        fail(z, EKZ_DAMAGED);
    lines = by_column ? wide : high;
    mode = (uint32_t)below(z, 3);
    if (z->error) return;
    if (mode == TEXT) {
        if (lines > MOST_FACTORS / width) fail(z, EKZ_DAMAGED);
        for (k = 0; k < lines * width && !z->error; k++) read[k] = text_byte(z);
        ended(z);
        factors = read;
    } else if (mode == RAW) {
        if (lines > (z->raw_size - z->raw_at) / width) fail(z, EKZ_DAMAGED);
        factors = z->raw + z->raw_at;
        if (!z->error) z->raw_at += lines * width;
    }
    for (r = 0; r < high && !z->error; r++) {
        size_t row = place_of(&rows, r) * span;
        for (c = 0; c < wide; c++) {
            const uint8_t *from = z->out + source + (row + place_of(&columns, c)) * width;
            uint8_t *to = z->out + z->out_at + (r * wide + c) * width;
            size_t line = by_column ? c : r;
            uint32_t by = factors == NULL ? (width == 1 ? 1u : 0x3F800000u)
                          : width == 1    ? factors[line]
                                          : little(factors + 4 * line);
            uint32_t found = width == 1 ? *from * by : times(little(from), by);
            if (width == 4 && (found >> 23 & 255u) < 2u) found = (little(from) ^ by) & 0x80000000u; /* as in cutting.py */
            for (k = 0; k < width; k++) to[k] = (uint8_t)(found >> (8 * k));
        }
    }
    for (r = 0; factors != NULL && r < high && !z->error; r++) { /* lines that stand as they are */
        for (c = 0; c < wide; c++) {
            size_t line = by_column ? c : r;
            for (k = 0; k < width; k++)
                if (factors[line * width + k]) break;
            if (k < width) continue;
            if (width > z->raw_size - z->raw_at) {
                fail(z, EKZ_DAMAGED);
                return;
            }
            memcpy(z->out + z->out_at + (r * wide + c) * width, z->raw + z->raw_at, width);
            z->raw_at += width;
        }
    }
}

/* ------------------------------------------------------------------ a whole archive: archive.py */

static void array(ekz_t *z, uint32_t method, size_t size) {
    sink_t s;
    memset(&s, 0, sizeof s);
    s.out = z->out + z->out_at;
    s.bits = 8;
    if (method == PRODUCT) {
        product(z, size);
        return;
    }
    if (method == CUT) {
        cut(z, size);
        return;
    }
    if (method != STORED) s.bits = WIDTHS[below(z, 6)];
    if (s.bits >= 8 && size % (s.bits / 8)) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    s.count = s.bits >= 8 ? size / (s.bits / 8) : size * (8 / s.bits);
    s.stride = s.bits / 8;
    if (method == PLANES)
        planes(z, &s);
    else if (method == SPARSE)
        sparse(z, &s);
    else
        plain(z, &s, method);
}

static void text(ekz_t *z, size_t size) {
    for (; size > 0 && !z->error; size--) z->out[z->out_at++] = text_byte(z);
    ended(z);
}

static void sections(ekz_t *z) {
    uint32_t method;
    size_t size;
    while ((method = (uint32_t)below(z, CUT + 1)) != END && !z->error) {
        text(z, below(z, (uint64_t)(z->out_size - z->out_at) + 1));
        size = below(z, (uint64_t)(z->out_size - z->out_at) + 1);
        if (z->error) return;
        array(z, method, size);
        if (z->error) return;
        z->out_at += size;
    }
    text(z, z->out_size - z->out_at);
}

typedef struct {
    size_t size, workspace, raw, head;
    uint32_t crc, adler, table_bits;
} head_t;

static int varint(const uint8_t *data, size_t size, size_t *at, uint64_t *value) {
    int shift;
    *value = 0;
    for (shift = 0; shift < 42 && *at < size; shift += 7) {
        uint8_t byte = data[(*at)++];
        *value |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) return 1;
    }
    return 0;
}

static int head_of(const uint8_t *archive, size_t archive_size, head_t *head) {
    uint64_t size, kilobytes, raw;
    size_t at = 4;
    if (archive_size < 3 || memcmp(archive, "EKZ", 3)) return EKZ_NOT_AN_ARCHIVE;
    if (archive_size < 4) return EKZ_DAMAGED;
    if (archive[3] != 1) return EKZ_NEWER;
    if (!varint(archive, archive_size, &at, &size) || archive_size - at < 9) return EKZ_DAMAGED;
    head->crc = little(archive + at);
    head->adler = little(archive + at + 4);
    head->table_bits = archive[at + 8];
    at += 9;
    if (!varint(archive, archive_size, &at, &kilobytes) || !varint(archive, archive_size, &at, &raw)) return EKZ_DAMAGED;
    if (size > (uint64_t)RATIO * archive_size + ALWAYS || raw > archive_size - at) return EKZ_DAMAGED;
    if (head->table_bits < 12 || head->table_bits > 18) return EKZ_DAMAGED;
    /* No archive needs more than its columns can take: at most 64 bytes for each byte of the file, and 16 MiB. */
    if (kilobytes > (size >> 4) + 16384u) return EKZ_DAMAGED;
    if (size > 0x7FFFFFFFu || size > SIZE_MAX - 1 || (kilobytes << 10) > SIZE_MAX - (sizeof(ekz_t) + 64)) return EKZ_DAMAGED;
    head->size = (size_t)size;
    head->workspace = (size_t)(kilobytes << 10);
    head->raw = (size_t)raw;
    head->head = at;
    return EKZ_OK;
}

int ekz_info(const uint8_t *archive, size_t archive_size, ekz_info_t *info) {
    head_t head;
    int error = head_of(archive, archive_size, &head);
    info->size = error ? 0 : head.size;
    info->workspace = error ? 0 : head.workspace + sizeof(ekz_t) + 64;
    return error;
}

static int matches(const head_t *head, const uint8_t *data) {
    uint32_t crc = 0xFFFFFFFFu, a = 1, b = 0, k;
    size_t i;
    for (i = 0; i < head->size; i++) {
        crc ^= data[i];
        for (k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1u ? 0xEDB88320u : 0u);
        a = (a + data[i]) % 65521u;
        b = (b + a) % 65521u;
    }
    return (crc ^ 0xFFFFFFFFu) == head->crc && (b << 16 | a) == head->adler;
}

static void tables(ekz_t *z) {
    int32_t p, x = -LIMIT;
    for (p = 0; p < 4096; p++) {
        while (x < LIMIT && squash(x) < 16 * p + 8) x++;
        z->stretch[p] = (int16_t)x;
    }
}

int ekz_unpack(const uint8_t *archive, size_t archive_size, uint8_t *output, size_t output_size, void *workspace,
               size_t workspace_size) {
    head_t head;
    ekz_t *z;
    arena_t arena;
    size_t skip;
    int error = head_of(archive, archive_size, &head), i;
    if (error) return error;
    arena.at = (uint8_t *)workspace;
    skip = (size_t)(-(uintptr_t)arena.at) & 15u;
    if (output_size < head.size || workspace_size < skip + sizeof(ekz_t)) return EKZ_NO_ROOM;
    z = (ekz_t *)(void *)(arena.at + skip);
    memset(z, 0, sizeof *z);
    z->arena.at = arena.at + skip + sizeof *z;
    z->arena.left = workspace_size - skip - sizeof *z;
    z->raw = archive + head.head;
    z->raw_size = head.raw;
    z->bits = z->raw + head.raw;
    z->bits_size = archive_size - head.head - head.raw;
    z->high = 0xFFFFFFFFu;
    for (i = 0; i < 4; i++, z->bits_at++) z->value = z->value << 8 | (z->bits_at < z->bits_size ? z->bits[z->bits_at] : 0u);
    z->out = output;
    z->out_size = head.size;
    z->table_bits = head.table_bits;
    tables(z);
    z->window = (uint8_t *)take(z, WINDOW, 1);
    z->heads = (uint32_t *)take(z, HEADS, sizeof(uint32_t));
    if (!mixer(z, &z->text, 256u + ((size_t)CONTEXTS << z->table_bits) + 65u, CONTEXTS + 2, 0, 12, 13107, 25, 255) || z->error)
        return EKZ_NO_ROOM;
    memset(z->window, 0, WINDOW);
    memset(z->heads, 0, HEADS * sizeof(uint32_t));
    sections(z);
    if (z->error) return z->error;
    return matches(&head, output) ? EKZ_OK : EKZ_CHECKSUM;
}

/* ------------------------------------------------------------------ several files in one: several.py */

int ekz_part(const uint8_t *unpacked, size_t size, const char *name, const uint8_t **part, size_t *part_size) {
    uint64_t count, length, bytes;
    size_t at = 8, start, i, pass;
    *part = NULL;
    *part_size = 0;
    if (size < 8 || memcmp(unpacked, "EKZSIZES", 8)) return EKZ_NO_PART;
    if (!varint(unpacked, size, &at, &count) || count > size) return EKZ_DAMAGED;
    start = at;
    for (pass = 0; pass < 2; pass++) { /* first where the files begin, then which one it is */
        size_t file = start;
        at = pass ? (size_t)8 : at;
        if (pass && !varint(unpacked, size, &at, &count)) return EKZ_DAMAGED;
        for (i = 0; i < count; i++) {
            size_t same = 0;
            if (!varint(unpacked, size, &at, &length) || length > size - at) return EKZ_DAMAGED;
            while (same < length && name[same] && (uint8_t)name[same] == unpacked[at + same]) same++;
            at += (size_t)length;
            if (!varint(unpacked, size, &at, &bytes)) return EKZ_DAMAGED;
            if (!pass) {
                start = at;
                continue;
            }
            file += (size_t)(-file) & 15u;
            if (file > size || bytes > size - file) return EKZ_DAMAGED;
            if (same == length && !name[same]) {
                *part = unpacked + file;
                *part_size = (size_t)bytes;
                return EKZ_OK;
            }
            file += (size_t)bytes;
        }
    }
    return EKZ_NO_PART;
}

const char *ekz_error(int error) {
    switch (error) {
        case EKZ_OK: return "no error";
        case EKZ_NOT_AN_ARCHIVE: return "this is no .ekz archive";
        case EKZ_NEWER: return "this archive is of a version that this decoder does not know";
        case EKZ_DAMAGED: return "this archive is damaged";
        case EKZ_CHECKSUM: return "this archive is damaged: its checksum is not that of what it holds";
        case EKZ_NO_PART: return "this archive holds no file of that name";
        case EKZ_NO_ROOM: return "there is too little room for what this archive holds";
        default: return "an unknown error";
    }
}
