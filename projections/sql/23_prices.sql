-- prices: the rates that hold: what a million tokens of each model cost, when, and for which length of context.
-- grain: one window of rates of a provider and model
-- key: model_provider, model, window_number
-- unit: micro-dollars per million tokens, seconds of the day, times in UTC
-- source: rates
-- refresh: view
--
-- model_provider and model are as calls state them, matched_... as the book names what was taken for it. A model that the book does not
-- know, or prices by more than tokens, has one row without rates. Windows exclude each other: since <= call < until, also within the day,
-- and above < input of the call (cached input included) <= up_to. A rate is null where the book names none.
WITH held AS (
    SELECT *
    FROM rates
    QUALIFY row_number() OVER (PARTITION BY model_provider, model ORDER BY seq DESC) = 1
),
numbered AS (
    SELECT
        * EXCLUDE (windows),
        unnest(if(len(windows) = 0, [NULL], range(1, len(windows) + 1))) AS window_number,
        windows
    FROM held
)
SELECT
    seq AS rates_seq,
    stated_at,
    book,
    book_version,
    model_provider,
    model,
    matched_provider,
    matched_model,
    window_number,
    windows[window_number].since AS since,
    windows[window_number].until AS until,
    windows[window_number].daily_from_seconds AS daily_from_seconds,
    windows[window_number].daily_until_seconds AS daily_until_seconds,
    windows[window_number].above_input_tokens AS above_input_tokens,
    windows[window_number].up_to_input_tokens AS up_to_input_tokens,
    windows[window_number].input AS input_rate,
    windows[window_number].cache_read AS cache_read_rate,
    windows[window_number].cache_write AS cache_write_rate,
    windows[window_number].cache_write_5m AS cache_write_5m_rate,
    windows[window_number].cache_write_1h AS cache_write_1h_rate,
    windows[window_number].output AS output_rate
FROM numbered
