-- A batch writes rows side by side and changes all of them again within a second, first in one transaction and then in the
-- next. Half a page left free keeps each new version on its row's page, so that no index has to be told.
ALTER TABLE verifications SET (fillfactor = 50);
ALTER TABLE numbers SET (fillfactor = 50);
