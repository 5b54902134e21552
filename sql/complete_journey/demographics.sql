-- What 801 of the households told the retailer about themselves: seven answers each, NULL where not given.
-- Expects: SET VARIABLE data_folder = '...', as sources.sql does.
CREATE OR REPLACE TABLE demographics AS
SELECT household_id::INTEGER AS household_id, age::VARCHAR AS age, income::VARCHAR AS income,
       home_ownership::VARCHAR AS home_ownership, marital_status::VARCHAR AS marital_status,
       household_size::VARCHAR AS household_size, household_comp::VARCHAR AS household_comp,
       kids_count::VARCHAR AS kids_count
FROM read_parquet(getvariable('data_folder') || '/demographics.parquet')
ORDER BY household_id;
