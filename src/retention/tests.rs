mod copies;
mod imports;
mod items;
mod policies;
mod property;
mod rules;
mod timelines;
mod world;
